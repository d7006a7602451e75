"""Files of `torch.save`, read as data: tensors and plain values only, nothing in them is executed.

torch's own restricted unpickler (`weights_only=True`) does the reading. Around it: tar archives, through which that mode
of torch before 2.6 could be made to execute code (CVE-2025-32434), are refused; so are archives that unpack to more
than they take, and tensors that claim more values than the file stores.
"""

from __future__ import annotations

import argparse
import io
import re
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from manifests.archives import BROKEN, check_archive
from manifests.errors import DataError, MissingError

# Training scripts put their arguments beside the weights; a namespace only holds values.
torch.serialization.add_safe_globals([argparse.Namespace])
_FIX = "fetch the file again from where its authors publish it"


def load_plain(data: bytes) -> Any:
    """The content of the bytes of a `torch.save` file, on the CPU.

    Raises:
        ValueError: a tar archive, or an archive that unpacks to more than it takes. Else one of `BROKEN`; no code ran.
    """
    file = io.BytesIO(data)
    check_archive(file, len(data))
    with warnings.catch_warnings():  # about the cost of checking what a file holds; nothing to act on
        warnings.simplefilter("ignore")
        return torch.load(file, map_location="cpu", weights_only=True)


def load_tensor_file(path: Path | str) -> dict[str, Any]:
    """A `.pt` or `.pth` file whose content is a dict.

    Raises:
        MissingError: no such file.
        DataError: truncated, no such file's content, or naming anything but tensors and plain values; it is named.
    """
    path = Path(path)
    if not path.is_file():
        raise MissingError(str(path), "is not there", "check the path")
    try:
        value = load_plain(path.read_bytes())
    except BROKEN as error:
        raise DataError(str(path), f"is not readable as plain tensors ({reason(error)})", _FIX) from error
    if not isinstance(value, Mapping):
        raise DataError(str(path), f"holds a {type(value).__name__}, not a dict of networks", _FIX)
    return {str(key): item for key, item in value.items()}


def reason(error: BaseException) -> str:
    """What was wrong with a file, in a line. torch's advice to load it without the restriction is left out."""
    text = str(error)
    called = re.search(r"GLOBAL (\S+)", text)
    if called:
        return f"it calls {called[1]}; nothing was executed"
    _, found, rest = text.partition("WeightsUnpickler error:")
    lines = [line.strip() for line in (rest if found else text).splitlines() if line.strip()]
    told = lines and not lines[0].startswith("Weights only load failed")
    return f"{type(error).__name__}: {lines[0][:200]}" if told else type(error).__name__


def plain_tensors(value: Any, what: str, source: str) -> dict[str, Tensor]:
    """`value` as tensors by name, each dense, on the CPU, of numbers, and no larger than what the file stores.

    Raises:
        DataError: no mapping, or an entry that is none of this; it is named with `what` and `source`.
    """
    if not isinstance(value, Mapping):
        raise DataError(source, f"{what} is a {type(value).__name__}, not a dict of tensors", _FIX)
    for name, tensor in value.items():
        if not isinstance(name, str) or not isinstance(tensor, Tensor):
            raise DataError(source, f"{name} in {what} is not a tensor", _FIX)
        if tensor.layout != torch.strided or tensor.device.type != "cpu" or tensor.is_complex() or tensor.is_quantized:
            raise DataError(source, f"tensor {name} in {what} is not a dense one of numbers", _FIX)
        stored = tensor.untyped_storage().nbytes() // tensor.element_size()
        if tensor.numel() > stored:
            raise DataError(source, f"shape {list(tensor.shape)} of {name} in {what} repeats its {stored} stored values", _FIX)
    return dict(value)
