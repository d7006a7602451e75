"""Files that are there whole or not at all: written under a temporary name, fsynced, renamed."""

from __future__ import annotations

import hashlib
import json
import os
import re
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from manifests.errors import UsageError, disk_errors

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt


TEMPORARY = re.compile(r"\..+\.[a-z0-9_]{8}\.tmp")
"""Names that `atomic_path` gives to what is being written."""


def make_folder(path: Path) -> Path:
    """A folder, made with those above it where it is not there.

    Raises:
        PartialError: the disk is full. UsageError: there can be no such folder, or it cannot be written.
    """
    with disk_errors(path):
        try:
            path.mkdir(parents=True, exist_ok=True)
        except FileNotFoundError as error:  # such as below /proc
            why = "is no place for it (its file system makes no folders)"
            raise UsageError(str(path), why, "check the path, or choose another --out") from error
    return path


def _fsync(fd: int) -> None:
    os.fsync(fd)


@contextmanager
def atomic_path(path: Path | str) -> Iterator[Path]:
    """Yield a temporary name beside `path`; on success fsync it and rename it to `path`, on failure remove
    it.

    Raises:
        PartialError: the disk is full. UsageError: the folder cannot be written.
    """
    path = Path(path)
    with disk_errors(path):
        make_folder(path.parent)
        fd, name = tempfile.mkstemp(prefix=f".{path.name}.", suffix=".tmp", dir=path.parent)
        os.close(fd)
        temporary = Path(name)
        try:
            yield temporary
            with open(temporary, "rb+") as file:
                _fsync(file.fileno())
            os.chmod(temporary, 0o644)
            os.replace(temporary, path)
        finally:
            temporary.unlink(missing_ok=True)


def unlinked(path: str, flags: int) -> int:
    """An opener for files that are changed in place, such as locks and logs: no link in a folder of others is
    followed.

    Raises:
        OSError: the path is a link (ELOOP), or as `os.open`.
    """
    return os.open(path, flags | os.O_NOFOLLOW, 0o644)


def temporaries(folder: Path) -> Iterator[Path]:
    """The temporary files of `atomic_path` in a folder and below it; links to folders are not followed."""
    for where, _, names in os.walk(folder):
        yield from (Path(where, name) for name in names if TEMPORARY.fullmatch(name))


def drop_temporaries(folder: Path, names: Iterable[str] | None = None) -> None:
    """Remove what killed writers left half-written; only while nobody writes there.

    Args:
        folder: with everything below it or, where `names` are given, by itself.
        names: of the files that were being written, or how they begin; for a folder that holds other people's
            files too.
    """
    if names is None:
        for path in temporaries(folder):
            path.unlink(missing_ok=True)
        return
    wanted = tuple(f".{name}" for name in names)
    for path in folder.iterdir() if folder.is_dir() else ():
        if TEMPORARY.fullmatch(path.name) and path.name.startswith(wanted):
            path.unlink(missing_ok=True)


def write_bytes(path: Path | str, data: bytes) -> None:
    """Write `data` to `path` atomically."""
    with atomic_path(path) as temporary:
        temporary.write_bytes(data)


def write_text(path: Path | str, text: str) -> None:
    """Write `text` (UTF-8, newline at the end) to `path` atomically."""
    write_bytes(path, (text if text.endswith("\n") else text + "\n").encode())


def canonical_json(value: Any) -> str:
    """JSON with sorted keys and no NaN: the same value gives the same text."""
    return json.dumps(value, sort_keys=True, ensure_ascii=False, allow_nan=False, separators=(",", ":"))


def write_json(path: Path | str, value: Any) -> None:
    """Write `value` as sorted, indented JSON atomically. NaN is refused: use null for what is undefined."""
    write_text(path, json.dumps(value, sort_keys=True, ensure_ascii=False, allow_nan=False, indent=1))


def digest_bytes(data: bytes) -> str:
    """sha256 of bytes, hex."""
    return hashlib.sha256(data).hexdigest()


def digest_file(path: Path | str) -> str:
    """sha256 of a file, hex, read in 1 MiB pieces."""
    digest = hashlib.sha256()
    with open(path, "rb") as file:
        while piece := file.read(1 << 20):
            digest.update(piece)
    return digest.hexdigest()


def digest_value(value: Any) -> str:
    """sha256 of the canonical JSON of `value`, hex."""
    return digest_bytes(canonical_json(value).encode())


def digest_arrays(arrays: Mapping[str, npt.NDArray[np.generic]]) -> str:
    """sha256 of arrays with their names, types and shapes, hex; the order of the names does not matter."""
    digest = hashlib.sha256()
    for name, array in sorted(arrays.items()):
        digest.update(canonical_json([name, str(array.dtype), list(array.shape)]).encode())
        for row in array if array.ndim else [array]:  # row by row: no second copy of all of it
            digest.update(row.tobytes())
    return digest.hexdigest()


def digest_listing(source: Path, without: Path | None = None) -> str:
    """sha256 of what a file or folder is as far as its listing shows: relative names, sizes and times of
    change.

    Args:
        source: nothing there counts as an empty folder.
        without: a folder inside that does not count.
    """
    files = sorted(path for path in source.rglob("*") if path.is_file()) if source.is_dir() else [source]
    kept = (path for path in files if path.is_file() and (without is None or without not in path.parents))
    stats = (
        (os.fsencode(path.relative_to(source)).hex(), path.stat()) for path in kept
    )  # names need not be UTF-8
    return digest_value([[name, stat.st_size, stat.st_mtime_ns] for name, stat in stats])
