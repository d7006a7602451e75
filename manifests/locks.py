"""Locks between processes: one writer of a folder at a time, and steps that are done one after another."""

from __future__ import annotations

import errno
import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from manifests.atomic import make_folder, unlinked
from manifests.errors import UsageError, disk_errors

NO_LOCKS = (errno.EBADF, errno.ENOLCK, errno.EOPNOTSUPP, errno.EINVAL, errno.ENOSYS)
"""Of a file system that locks no folders."""


@contextmanager
def writing_alone(folder: Path) -> Iterator[None]:
    """Hold a folder, made if needed, as its only writer. Nothing is left in it: the lock is on the folder
    itself, and a folder that was made and stayed empty goes.

    Raises:
        UsageError: another process holds it, or it cannot be made.
    """
    with disk_errors(folder):
        new = not folder.exists()
        make_folder(folder)
        handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            fix = "wait until it ends, or choose another --out"
            raise UsageError(str(folder), "another process is writing here", fix) from error
        except OSError as error:
            if error.errno not in NO_LOCKS:
                raise
        yield
    finally:
        if new:
            with suppress(OSError):  # it holds something, as it should
                folder.rmdir()
        os.close(handle)


@contextmanager
def in_turn(file: Path) -> Iterator[None]:
    """Wait for, then hold, a file of locks, made if needed: its holders do what is inside one after another.

    Raises:
        UsageError: the folder cannot be written. PartialError: the disk is full.
    """
    with disk_errors(file):
        make_folder(file.parent)
        handle = unlinked(str(file), os.O_RDWR | os.O_CREAT)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)
