"""The one reader of files of `torch.save`: tensors and plain values only, nothing in them is executed.

Not torch's own reader: `weights_only=True` executes nothing, but it hangs on keys that take forever to hash,
ends the process on deep ones, and allocates what a file declares. Here the pickle is weighed first
(`manifests.pickle_checks`), archives are opened by one parser with limits (`manifests.archives`), a tensor is
its stored bytes and a shape that fits them, and what the pickle makes is copied into plain containers, so
that no attribute that it set is ever looked up.
"""

from __future__ import annotations

import io
import pickle
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from manifests.archives import BROKEN, check_archive, is_zip, open_archive, read_member
from manifests.errors import DataError, MissingError
from manifests.pickle_checks import check_pickle
from nn.stored_tensors import ALLOWED, Refused, StorageType, Stored, plain

MAGIC, PROTOCOL = 0x1950A86A20F9469CFC6C, 1001
FIX = "fetch the file again from where its authors publish it"


class _Unpickler(pickle.Unpickler):
    """Resolves nothing but the allow list; storages become records."""

    def __init__(self, data: bytes) -> None:
        super().__init__(io.BytesIO(data), encoding="utf-8")
        self.known: dict[str, Stored] = {}

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) not in ALLOWED:
            raise Refused(f"{module}.{name}")
        return ALLOWED[module, name]

    def persistent_load(self, pid: Any) -> Stored:
        """The storage that `("storage", type, key, device, count, view)` names."""
        if not isinstance(pid, tuple) or not 5 <= len(pid) <= 6 or _text(pid[0]) != "storage":
            raise ValueError("a reference to what is no storage")
        kind, key, count = pid[1], _text(pid[2]), pid[4]
        if not isinstance(kind, StorageType) or type(count) is not int:
            raise ValueError("a storage of no known type")
        known = self.known.setdefault(key, Stored(kind.dtype, key, count))
        if (known.dtype, known.count) != (kind.dtype, count):
            raise ValueError("a storage that is described twice, differently")
        if len(pid) == 5 or pid[5] is None:
            return known
        _, start, length = pid[5]
        return Stored(kind.dtype, key, count, (int(start), int(length)))


def _text(value: Any) -> str:
    return (
        value.decode("utf-8", "replace")
        if isinstance(value, bytes)
        else value
        if isinstance(value, str)
        else ""
    )


def _fetching(read: Callable[[str], bytearray]) -> Callable[[Stored], Tensor]:
    """Stored values by record; the bytes of a key are read once, so that tied tensors stay tied."""
    kept: dict[str, bytearray] = {}

    def fetch(stored: Stored) -> Tensor:
        if stored.key not in kept:
            kept[stored.key] = read(stored.key)
        return stored.flat(kept[stored.key])

    return fetch


def _zipped(data: bytes) -> Any:
    """A file as torch has written it since 1.6: `NAME/data.pkl` and one member per storage."""
    with open_archive(io.BytesIO(data)) as archive:
        members = {info.filename.partition("/")[2]: info for info in archive.infolist()}
        if len(members) != len(archive.infolist()) or "data.pkl" not in members:
            raise ValueError("a zip that torch did not write")
        if "byteorder" in members and read_member(archive, members["byteorder"], len(data)) != b"little":
            raise ValueError("written on a machine of another byte order")
        pickled = read_member(archive, members["data.pkl"], len(data))
        check_pickle(pickled)

        def read(key: str) -> bytearray:
            if f"data/{key}" not in members:
                raise ValueError("a storage is missing")
            return bytearray(read_member(archive, members[f"data/{key}"], len(data)))

        return plain(_Unpickler(pickled).load(), _fetching(read))


def _legacy(data: bytes) -> Any:
    """A file as torch wrote it before: five pickles, then the storages, each behind the number of its
    values.
    """
    ends = [0]
    for _ in range(5):
        ends.append(check_pickle(data, ends[-1]))
    magic, protocol, system, content, keys = (_Unpickler(data[a:b]) for a, b in pairwise(ends))
    if magic.load() != MAGIC or protocol.load() != PROTOCOL:
        raise ValueError("torch did not write it")
    about = system.load()
    if not isinstance(about, dict) or about.get("little_endian") is not True:
        raise ValueError("written on a machine of another byte order")
    value, names = content.load(), keys.load()
    places: dict[str, tuple[int, int]] = {}
    at = ends[-1]
    for key in map(_text, names if isinstance(names, list) else []):
        if key not in content.known or len(data) < at + 8:
            raise ValueError("it ends inside a storage")
        size = int.from_bytes(data[at : at + 8], "little") * content.known[key].dtype.itemsize
        if size > len(data) - at - 8:
            raise ValueError("it ends inside a storage")
        places[key] = (at + 8, at + 8 + size)
        at += 8 + size
    return plain(value, _fetching(lambda key: bytearray(data[slice(*places[key])])))


def load_plain(data: bytes) -> Any:
    """The content of the bytes of a `torch.save` file, on the CPU: tensors without gradients, and plain
    values.

    A storage alone is a tensor [count].

    Raises:
        Refused: it names a global that is not allowed; nothing was executed.
        ValueError: a tar archive, an archive that unpacks to more than it takes, or a pickle that is none of
            data. Else one of `BROKEN`; no code ran.
    """
    check_archive(io.BytesIO(data), len(data))
    return _zipped(data) if is_zip(data) else _legacy(data)


def read_plain(path: Path, fix: str = FIX) -> Any:
    """The content of a file of `torch.save`; see `load_plain`.

    Args:
        path: the file.
        fix: what to do where it is damaged.

    Raises:
        MissingError: no such file.
        DataError: truncated, no such file's content, or naming anything but tensors and plain values; it is
            named.
    """
    if not path.is_file():
        raise MissingError(str(path), "is not there", "check the path")
    try:
        return load_plain(path.read_bytes())
    except (*BROKEN, Refused) as error:
        raise DataError(str(path), f"is not readable as plain tensors ({reason(error)})", fix) from error


def load_tensor_file(path: Path | str, fix: str = FIX) -> dict[str, Any]:
    """A `.pt` or `.pth` file whose content is a dict.

    Args:
        path: the file.
        fix: what to do where it is damaged.

    Raises:
        MissingError: no such file.
        DataError: as `read_plain`, or the content is no dict.
    """
    value = read_plain(Path(path), fix)
    if not isinstance(value, Mapping):
        raise DataError(str(path), f"holds a {type(value).__name__}, not a dict of networks", fix)
    return {str(key): item for key, item in value.items()}


def reason(error: BaseException) -> str:
    """What was wrong with a file, in a line."""
    if isinstance(error, Refused):
        return f"it calls {error}; nothing was executed"
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return f"{type(error).__name__}: {lines[0][:200]}" if lines else type(error).__name__


def plain_tensors(value: Any, what: str, source: str) -> dict[str, Tensor]:
    """`value` as tensors by name, each of real numbers.

    Raises:
        DataError: no mapping, or an entry that is none of this; it is named with `what` and `source`.
    """
    if not isinstance(value, Mapping):
        raise DataError(source, f"{what} is a {type(value).__name__}, not a dict of tensors", FIX)
    for name, tensor in value.items():
        if not isinstance(name, str) or not isinstance(tensor, Tensor):
            raise DataError(source, f"{name!s:.80} in {what} is not a tensor", FIX)
        if tensor.is_complex():
            raise DataError(source, f"tensor {name} in {what} is not one of real numbers", FIX)
    return dict(value)


def finite_tensors(tensors: Mapping[str, Tensor], source: str) -> None:
    """Whether all values are numbers.

    Raises:
        DataError: a tensor holds NaN or an infinity; it is named.
    """
    for name, tensor in tensors.items():
        if tensor.is_floating_point() and not bool(torch.isfinite(tensor).all()):
            raise DataError(source, f"tensor {name} holds values that are not finite", FIX)


# --- states of trainings ---


def read_state(path: Path, entries: Mapping[str, type | tuple[type, ...]], fix: str) -> dict[str, Any]:
    """A training's state: a dict that has these entries.

    Args:
        path: the file.
        entries: name -> type of what must be there.
        fix: what to do where it is damaged.

    Raises:
        MissingError: no such file. DataError: damaged, or an entry is missing or of another type; it is
            named.
    """
    state = load_tensor_file(path, fix)
    for name, kind in entries.items():
        if not isinstance(state.get(name), kind):
            kinds = " or ".join(one.__name__ for one in (kind if isinstance(kind, tuple) else (kind,)))
            raise DataError(str(path), f"is no state of a training: it has no {name} of type {kinds}", fix)
    return state


@contextmanager
def restoring(path: Path, fix: str) -> Iterator[None]:
    """Inside, a state is put into networks and optimisers that were made for it.

    Raises:
        DataError: it does not fit them.
    """
    try:
        yield
    except (KeyError, TypeError, ValueError, RuntimeError, AttributeError, IndexError) as error:
        raise DataError(str(path), f"does not fit this training ({reason(error)})", fix) from error


def restore_optimizer(optimizer: torch.optim.Optimizer, state: Any) -> None:
    """Put an optimiser's state in, after its groups and tensors were seen to be those of this optimiser.

    Raises:
        ValueError, TypeError, KeyError: they are not.
    """
    for mine, given in zip(optimizer.state_dict()["param_groups"], state["param_groups"], strict=True):
        wrong = [
            key
            for key in mine
            if isinstance(mine[key], int | float) and not isinstance(given.get(key, 0), int | float)
        ]
        if wrong:
            raise TypeError(f"{', '.join(wrong)} of its optimiser are no numbers")
    optimizer.load_state_dict(state)
    for parameter, kept in optimizer.state.items():
        for name, value in kept.items():
            if isinstance(value, Tensor) and value.numel() != 1 and value.shape != parameter.shape:
                raise ValueError(
                    f"{name} of its optimiser is {list(value.shape)}, not {list(parameter.shape)}"
                )
