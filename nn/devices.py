"""The one check of a torch device: every command's `--device`, every loader's `device`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from manifests.errors import MissingError, UsageError

if TYPE_CHECKING:
    import torch


def torch_device(name: str) -> torch.device:
    """The torch device called `name`: `cpu`, `cuda`, `cuda:1`, or another that torch knows and sees here.

    Raises:
        UsageError: no such device name.
        MissingError: this machine, or this torch, has none of the kind or none of that number.
    """
    import torch

    try:
        device = torch.device(name)
    except RuntimeError as error:
        raise UsageError(f"device {name!r}", "is not known to torch", "choose cpu, cuda or cuda:N") from error
    kind = getattr(torch, device.type, None)
    count = kind.device_count() if kind is not None and hasattr(kind, "device_count") else 0
    if device.type != "cpu" and (device.index or 0) >= count:
        raise MissingError(
            f"device {name!r}",
            f"torch sees {count} devices of kind {device.type} on this machine",
            "choose --device cpu",
        )
    return device
