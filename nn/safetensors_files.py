"""The one reader of safetensors: a header within bounds, and tensors whose values are numbers.

The format can hold no code. What a file can do is declare a great deal, describe a network of any size, and
hold NaN, with which every figure becomes `nan` without an error.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
from safetensors import SafetensorError, safe_open

from manifests.errors import DataError, MissingError

if TYPE_CHECKING:
    from torch import Tensor

LONGEST_HEADER = 32 << 20
"""Bytes of a header: names, types and places of some two hundred thousand tensors."""
FIX = "fetch or make the file again"


def _check(path: Path, missing: str, fix: str) -> None:
    if not path.is_file():
        raise MissingError(str(path), "is not there", missing)
    with open(path, "rb") as file:
        size = int.from_bytes(file.read(8), "little")
    if size > LONGEST_HEADER:
        raise DataError(str(path), f"is not a readable safetensors file: its header has {size} bytes", fix)


def _broken(path: Path, error: BaseException, fix: str) -> DataError:
    return DataError(str(path), f"is not a readable safetensors file ({error})", fix)


def read_metadata(path: Path | str, missing: str = "check the path", fix: str = FIX) -> dict[str, str]:
    """The metadata strings in a header.

    Args:
        path: the file.
        missing: what to do where it is not there.
        fix: what to do where it is damaged.

    Raises:
        MissingError: no such file. DataError: not safetensors, or truncated.
    """
    path = Path(path)
    _check(path, missing, fix)
    try:
        with safe_open(path, framework="numpy") as file:
            return dict(file.metadata() or {})
    except (SafetensorError, ValueError) as error:
        raise _broken(path, error, fix) from error


def read_tensors(path: Path | str, missing: str = "check the path", fix: str = FIX) -> dict[str, Tensor]:
    """The tensors, on the CPU, by name.

    Args:
        path: the file.
        missing: what to do where it is not there.
        fix: what to do where it is damaged.

    Raises:
        MissingError: no such file. DataError: not safetensors, truncated, or a value is not finite.
    """
    from nn.tensor_files import finite_tensors

    path = Path(path)
    _check(path, missing, fix)
    try:
        with safe_open(path, framework="pt") as file:
            found = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - not a mapping
    except (SafetensorError, ValueError, KeyError, RuntimeError) as error:
        raise _broken(path, error, fix) from error
    finite_tensors(found, str(path))
    return found


def read_arrays(
    path: Path | str, missing: str = "check the path", fix: str = FIX
) -> dict[str, npt.NDArray[Any]]:
    """The tensors as arrays, by name; arguments and errors as `read_tensors`."""
    path = Path(path)
    _check(path, missing, fix)
    try:
        with safe_open(path, framework="numpy") as file:
            found = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - not a mapping
    except (SafetensorError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise _broken(path, error, fix) from error
    for name, array in found.items():
        if array.dtype.kind not in "biuf" or (array.dtype.kind == "f" and not np.isfinite(array).all()):
            raise DataError(str(path), f"array {name} holds values that are not finite numbers", fix)
    return found
