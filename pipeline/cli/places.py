"""Callbacks of `--out` and its like: a place where nothing can be written is refused before any work, and
nothing is made.
"""

from __future__ import annotations

import errno
import os
import stat
from pathlib import Path

from manifests.errors import disk_errors


def _refuse(path: Path, number: int) -> None:
    raise OSError(number, os.strerror(number), str(path))


def _check(path: Path, *, folder: bool) -> None:
    """Is it, or can it become, a folder, or else a file?

    Raises:
        OSError: it cannot, as the system would say when it is written.
    """
    try:
        mode = os.stat(path).st_mode
    except FileNotFoundError:
        if path.is_symlink():  # to what is not there: no folder can be made in its place
            _refuse(path, errno.EEXIST if folder else errno.ENOENT)
        if path.parent != path:
            _check(path.parent, folder=True)
            if path.parent.is_dir() and not os.access(path.parent, os.W_OK | os.X_OK):
                _refuse(path, errno.EACCES)
        return
    if folder and not stat.S_ISDIR(mode):
        _refuse(path, errno.ENOTDIR)
    if not folder and stat.S_ISDIR(mode):
        _refuse(path, errno.EISDIR)


def folder_place(path: Path | None) -> Path | None:
    """A folder to write into, or to make.

    Raises:
        UsageError: it is a file, or is below one; its name is too long; links in a circle; it may not be
            made.
    """
    if path is not None:
        with disk_errors(path):
            _check(path, folder=True)
    return path


def file_place(path: Path | None) -> Path | None:
    """A file to write, in a folder that is there or is made.

    Raises:
        UsageError: it is a folder; or as `folder_place`, of the folder it is in.
    """
    if path is not None:
        with disk_errors(path):
            _check(path, folder=False)
    return path


def track_places(tracks: list[str] | None) -> list[str] | None:
    """`NAME:FOLDER` of trackers.

    Raises:
        UsageError: another form, an unknown tracker; as `folder_place`, of a folder.
    """
    if tracks:
        from nn.tracking import parse_track

        for track in tracks:
            folder_place(parse_track(track)[1])
    return tracks


def any_place(path: Path | None) -> Path | None:
    """A folder or a file, as the command's other options say.

    Raises:
        UsageError: it can be neither.
    """
    if path is not None:
        with disk_errors(path):
            if not path.is_dir():
                _check(path, folder=False)
    return path
