"""What a tar holds, by place and size: joined tars are read on, damage and what follows the end mark are
named.

Python's own reader takes a damaged entry in the middle for the end, and the first end mark for the last.
"""

from __future__ import annotations

import tarfile
from collections.abc import Generator, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from manifests.errors import DataError

BLOCK = tarfile.BLOCKSIZE
COMPRESSED = {
    b"\x1f\x8b": "gzip",
    b"BZh": "bzip2",
    b"\xfd7zXZ\0": "xz",
    b"\x28\xb5\x2f\xfd": "zstd",
    b"PK": "zip",
}


@dataclass(frozen=True)
class Member:
    """A file in a tar: its name, where its bytes begin, and how many there are. problem: why they cannot be
    read.
    """

    name: str
    start: int
    size: int
    problem: str | None = None


def _member(info: tarfile.TarInfo) -> Member:
    name = info.name.encode("utf-8", "surrogateescape").decode("utf-8", "replace")
    problem = None if info.isreg() and info.sparse is None else "is a link or a special file, not a plain one"
    return Member(name, info.offset_data, info.size, problem)


def _next_bytes(file: BinaryIO, start: int) -> int:
    """Where the first block from `start` on begins that is not empty; the end of the file where all are."""
    file.seek(start)
    place = start
    while chunk := file.read(1 << 20):
        rest = chunk.lstrip(b"\0")
        if rest:
            return start + (place + len(chunk) - len(rest) - start) // BLOCK * BLOCK
        place += len(chunk)
    return place


def _one(file: BinaryIO, start: int) -> Generator[Member, None, int]:
    """The members of the tar at `start`; returns where they end."""
    file.seek(start)
    with tarfile.TarFile(fileobj=file) as tar:
        while (info := tar.next()) is not None:
            tar.members.clear()  # type: ignore[attr-defined]  # a million of them would fill the memory
            if not info.isdir():
                yield _member(info)
        return int(tar.offset)


def members_of(path: Path, file: BinaryIO) -> Iterator[Member]:
    """Every member that is no folder, of every tar that the file holds; what else follows an end mark has a
    problem.

    Args:
        path: of the file, for the words of an error.
        file: the same, open.

    Raises:
        DataError: no tar, compressed, damaged, or cut short.
    """
    first = file.read(8)
    for mark, name in COMPRESSED.items():
        if first.startswith(mark):
            raise DataError(
                str(path), f"is compressed ({name})", "unpack it to a plain .tar first, e.g. with gunzip"
            )
    size, start = path.stat().st_size, 0
    while start < size or not start:
        try:
            end = yield from _one(file, start)
        except (tarfile.TarError, OSError, ValueError, OverflowError) as error:
            raise DataError(str(path), f"is not a readable tar ({error})", "fetch it again") from error
        following = _next_bytes(file, end)
        if end == start > 0:
            yield Member(f"byte {start}", start, size - start, "it follows the end of the tar and is no tar")
            return
        if following - end < 2 * BLOCK:
            cut = following >= size
            why = (
                "it is cut short: the two empty blocks at its end are missing"
                if cut
                else f"damaged at byte {end}"
            )
            raise DataError(str(path), f"is not a readable tar ({why})", "fetch it again")
        start = following
