"""What files of tensors are packed in, checked before anything unpacks them: pickles, zips and tars."""

from __future__ import annotations

import pickle
import struct
import tarfile
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from typing import BinaryIO

BROKEN = (
    pickle.UnpicklingError,
    EOFError,
    AttributeError,
    ImportError,
    IndexError,
    KeyError,
    TypeError,
    ValueError,
    OverflowError,
    MemoryError,
    RuntimeError,
    AssertionError,
    OSError,
    struct.error,
    zipfile.BadZipFile,
    zlib.error,
    tarfile.TarError,
)
"""What unpicklers and torch's and zip's readers raise on bytes that are none of theirs, or calls that do not
fit.
"""


MOST_MEMBERS = 2_000_000


def is_zip(data: bytes) -> bool:
    """Whether bytes begin as a zip does: what begins otherwise is read as another format, whatever stands at
    its end.
    """
    return data[:4] == b"PK\3\4"


@contextmanager
def open_archive(file: BinaryIO) -> Iterator[zipfile.ZipFile]:
    """A zip whose members may be read by `read_member`.

    Raises:
        ValueError: too many members. Else one of `BROKEN`: not a zip.
    """
    with zipfile.ZipFile(file) as archive:
        if len(archive.infolist()) > MOST_MEMBERS:
            raise ValueError(f"an archive of more than {MOST_MEMBERS} files")
        yield archive


def read_member(archive: zipfile.ZipFile, info: zipfile.ZipInfo, most: int) -> bytes:
    """The bytes of one member, unpacked only as far as they are allowed to go.

    Args:
        archive: as `open_archive` gave it.
        info: the member.
        most: bytes that it may have.

    Raises:
        ValueError: encrypted, packed by a method that is not known, or larger. Else one of `BROKEN`: damaged.
    """
    if info.flag_bits & 1:
        raise ValueError("it is encrypted")
    if info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        raise ValueError(f"it is packed by method {info.compress_type}, which is not known")
    if info.file_size > most:
        raise ValueError(f"it has {info.file_size} bytes, more than {most}")
    with archive.open(info) as file:
        data = file.read(most + 1)
    if len(data) > most:
        raise ValueError(f"it has more than {most} bytes")
    return data


def check_archive(file: BinaryIO, size: int) -> None:
    """Check what a `torch.save` file is packed in, and go back to its start.

    Args:
        file: open for reading, at any place.
        size: bytes of the file.

    Raises:
        ValueError: a tar archive, or an archive that unpacks to more than it takes. Else one of `BROKEN`.
    """
    file.seek(0)
    if is_zip(file.read(4)):
        file.seek(0)
        with zipfile.ZipFile(file) as archive:
            if sum(entry.file_size for entry in archive.infolist()) > size:
                raise ValueError("an archive that unpacks to more than it takes")
    file.seek(0)
    if tarfile.is_tarfile(file):
        raise ValueError("a tar archive")
    file.seek(0)
