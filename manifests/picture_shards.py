"""Pictures in tar shards: a path such as `shards/00007.tar/ab12.jpg` leads into a shard of a WebDataset.

Millions of small files are more than many file systems bear; a shard holds some hundred pictures, each with
its JSON and mask beside it, and the library WebDataset streams them as they are. A manifest's rows name
them like files, so that whoever reads a picture by `manifests.images.read_bytes` reads both. Where each
member begins is looked up once for each shard and process, in 24 bytes a member; a picture is then one read
at its place.
"""

from __future__ import annotations

import io
import tarfile
from collections.abc import Iterable
from functools import lru_cache
from hashlib import blake2b
from pathlib import Path, PurePosixPath

import numpy as np
import numpy.typing as npt

from manifests.atomic import atomic_path, digest_bytes, digest_file
from manifests.errors import DataError, MissingError
from manifests.escaping import printable
from manifests.tar_index import members_of

ENDING = ".tar"
LONGEST = 1 << 31
"""Bytes of a member that is compared with its digest."""
Table = tuple[npt.NDArray[np.uint64], npt.NDArray[np.int64]]
"""Sorted hashes of names, uint64 [N]; where the bytes of each begin and how many there are, int64 [N, 2]."""


def shard_name(name: str) -> str:
    """The file that a path of a manifest leads to: the shard, or the path itself where it leads into none."""
    parts = PurePosixPath(name).parts
    for k, part in enumerate(parts[:-1], 1):
        if part.endswith(ENDING):
            return PurePosixPath(*parts[:k]).as_posix()
    return name


def in_shard(path: Path) -> tuple[Path, str] | None:
    """(shard, name of the member) where a path leads into a shard that is there; None else."""
    if not any(part.endswith(ENDING) for part in path.parts[:-1]):
        return None
    shard = next((above for above in path.parents if above.name.endswith(ENDING) and above.is_file()), None)
    return None if shard is None else (shard, path.relative_to(shard).as_posix())


def _hash(name: str) -> int:
    return int.from_bytes(blake2b(name.encode("utf-8", "surrogateescape"), digest_size=8).digest(), "little")


def _table(shard: Path) -> Table:
    """Where the members of a shard are; the first of several of one name counts."""
    stat = shard.stat()
    return _read_table(shard, stat.st_size, stat.st_mtime_ns)


@lru_cache(maxsize=65_536)
def _read_table(shard: Path, size: int, changed: int) -> Table:
    """The same of a shard that has this size and time of change."""
    with open(shard, "rb") as file:
        found = [
            (_hash(one.name), one.start, one.size) for one in members_of(shard, file) if one.problem is None
        ]
    hashes = np.array([one[0] for one in found], np.uint64)
    places = np.array([one[1:] for one in found], np.int64).reshape(-1, 2)
    order = np.argsort(hashes, kind="stable")
    return hashes[order], places[order]


def _place(shard: Path, name: str) -> tuple[int, int] | None:
    hashes, places = _table(shard)
    wanted = np.uint64(_hash(name))
    at = int(np.searchsorted(hashes, wanted))
    return (int(places[at, 0]), int(places[at, 1])) if at < len(hashes) and hashes[at] == wanted else None


def is_there(path: Path) -> bool:
    """Whether a picture is there: a file, or a member of a shard.

    Raises:
        DataError: the shard is no readable tar.
    """
    if path.is_file():
        return True
    place = in_shard(path)
    return place is not None and _place(*place) is not None


def read_member(shard: Path, name: str, most: int) -> bytes:
    """The bytes of a member, `most` + 1 of them at the most.

    Raises:
        MissingError: the shard has no such member. DataError: it is no readable tar.
    """
    place = _place(shard, name)
    if place is None:
        raise MissingError(
            printable(f"{shard}/{name}"),
            "is not there: the shard has no such picture",
            "make the images again",
        )
    with open(shard, "rb") as file:
        file.seek(place[0])
        data = file.read(min(place[1], most + 1))
    if len(data) < min(place[1], most + 1):
        raise DataError(printable(str(shard)), "is cut short", "make or fetch it again")
    return data


def picture_digest(path: Path) -> str:
    """sha256 of a file or of a member of a shard, hex. Errors as `read_member`."""
    place = None if path.is_file() else in_shard(path)
    return digest_file(path) if place is None else digest_bytes(read_member(*place, LONGEST))


def write_shard(path: Path, members: Iterable[tuple[str, bytes]]) -> None:
    """Write a shard atomically: every time and owner zero, so that the same members give the same bytes.

    Args:
        path: of the tar.
        members: name and bytes of each; those of a sample beside each other.

    Raises:
        PartialError: the disk is full. UsageError: the folder cannot be written.
    """
    with atomic_path(path) as temporary, tarfile.open(temporary, "w", format=tarfile.USTAR_FORMAT) as tar:
        for name, data in members:
            info = tarfile.TarInfo(name)
            info.size, info.mode = len(data), 0o644
            tar.addfile(info, io.BytesIO(data))
