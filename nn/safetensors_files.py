"""The one reader and writer of safetensors: a header within bounds, and tensors whose values are numbers.

The format can hold no code. What a file can do is declare a great deal, describe a network of any size, and
hold NaN, with which every figure becomes `nan` without an error. What builds a network again is JSON in one
of the header's strings; the same content is the same bytes.
"""

from __future__ import annotations

import importlib
import json
import struct
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
from safetensors import SafetensorError, safe_open

from manifests.atomic import canonical_json
from manifests.errors import DataError, MissingError
from manifests.text_files import parse_json

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


def read_header(
    path: Path | str, entry: str = "config", missing: str = "check the path", fix: str = FIX
) -> dict[str, Any]:
    """The JSON object in one string of a header; empty where there is no such string.

    Args:
        path: the file.
        entry: name of the string.
        missing: what to do where the file is not there.
        fix: what to do where it is damaged.

    Raises:
        MissingError: no such file.
        DataError: not safetensors, truncated, or the string is no JSON object.
    """
    text = read_metadata(path, missing, fix).get(entry, "{}")
    value: dict[str, Any] = parse_json(
        text.encode("utf-8", "surrogatepass"), f"{path}: {entry} in its header", dict
    )
    return value


def tensor_bytes(
    tensors: Mapping[str, Any],
    metadata: Mapping[str, str],
    *,
    sort: bool = True,
) -> bytes:
    """The content of a safetensors file; the same tensors and strings give the same bytes.

    Args:
        tensors: by name, contiguous, none sharing memory: all of torch, or all of numpy.
        metadata: the header's strings.
        sort: whether the header is sorted JSON; without, it is as the library writes it, which keeps several
            strings in an order that changes from call to call.

    Raises:
        ValueError: not sorted, with more than one string.
    """
    if len(metadata) > 1 and not sort:
        raise ValueError("a header of several strings must be sorted")
    framework = "numpy" if all(isinstance(value, np.ndarray) for value in tensors.values()) else "torch"
    writer: Any = importlib.import_module(f"safetensors.{framework}")
    data: bytes = writer.save(dict(tensors), metadata=dict(metadata))
    return _sorted_header(data) if sort else data


def _sorted_header(data: bytes) -> bytes:
    """The same file with its header in sorted JSON, padded with spaces to a multiple of 8.

    Offsets count from the header's end, so the tensors stay as they are.
    """
    length = struct.unpack("<Q", data[:8])[0]
    header = canonical_json(json.loads(data[8 : 8 + length])).encode()
    header += b" " * (-len(header) % 8)
    return struct.pack("<Q", len(header)) + header + data[8 + length :]


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
