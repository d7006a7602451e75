"""What files of tensors are packed in, checked before anything unpacks them: pickles, zips and tars."""

from __future__ import annotations

import pickle
import struct
import tarfile
import zipfile
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
    tarfile.TarError,
)
"""What unpicklers and torch's and zip's readers raise on bytes that are none of theirs, or calls that do not fit."""


def check_archive(file: BinaryIO, size: int) -> None:
    """Check what a `torch.save` file is packed in, and go back to its start.

    Args:
        file: open for reading, at any place.
        size: bytes of the file.

    Raises:
        ValueError: a tar archive, or an archive that unpacks to more than it takes. Else one of `BROKEN`.
    """
    file.seek(0)
    if zipfile.is_zipfile(file):
        with zipfile.ZipFile(file) as archive:
            if sum(entry.file_size for entry in archive.infolist()) > size:
                raise ValueError("an archive that unpacks to more than it takes")
    file.seek(0)
    if tarfile.is_tarfile(file):
        raise ValueError("a tar archive")
    file.seek(0)
