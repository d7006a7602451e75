"""The one check of a torch device (each `--device`, each loader's `device`), and torch's CPU threads."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from manifests.errors import MissingError, UsageError

if TYPE_CHECKING:
    import torch


def torch_device(name: str) -> torch.device:
    """The torch device called `name`: `cpu`, `cuda`, `cuda:1`, or another that torch knows and sees here.

    Args:
        name: of the device.

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


@contextmanager
def torch_threads(count: int) -> Iterator[None]:
    """Inside, torch uses so many CPU threads: results depend on it in their last digits.

    Args:
        count: from 1.
    """
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)
