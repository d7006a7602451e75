"""The one function that joins a folder and a name that came from outside: nothing leaves the folder.

A name from a manifest, a marker, a table or an archive may be absolute, climb by `..`, or lead through a
link. Every such name is joined by `inside`, and a test walks the program for joins that are not.
"""

from __future__ import annotations

import os
from pathlib import Path, PurePosixPath

from manifests.errors import DataError
from manifests.escaping import printable

LONGEST_NAME = 255
"""Bytes of one part of a path, on any usual file system."""
MEND = "mend or remove the file that names it"


def path_escapes(path: str) -> bool:
    """Whether a path is not a plain relative POSIX path below its folder."""
    pure = PurePosixPath(path)
    if not pure.parts or pure.is_absolute():  # "" and ".": the folder itself
        return True
    return ".." in pure.parts or "\\" in path or "\0" in path or ":" in pure.parts[0]


def _file_names(path: str) -> bool:
    """Whether every part of a path can be a name: no NUL, no half of a surrogate pair, none too long."""
    try:
        return "\0" not in path and all(
            len(part.encode("utf-8", "surrogateescape")) <= LONGEST_NAME for part in path.split("/")
        )
    except UnicodeEncodeError:
        return False


def bad_name(name: str) -> bool:
    """Whether a text cannot be the name of one file in a table: empty, with `/`, a backslash or control
    characters, dots alone.
    """
    if not name.strip(".") or "/" in name or "\\" in name or not _file_names(name):
        return True
    return any(ord(c) < 32 or 127 <= ord(c) < 160 or 0xD800 <= ord(c) < 0xE000 for c in name)


def inside(folder: Path, name: str, *, links: bool = False) -> Path:
    """The path of `name` below `folder`.

    Args:
        folder: trusted; it may itself be a link.
        name: a plain relative POSIX path, from outside.
        links: links below `folder` may lead out of it: for the layouts of other datasets alone, whose folder
            the user names and whose pictures are decoded and encoded again.

    Raises:
        DataError: the name is absolute, has `..`, a backslash or a NUL, is empty or longer than a file system
            allows, or leads out of the folder through a link.
    """
    pure = PurePosixPath(name)
    if not pure.parts or pure.is_absolute() or ".." in pure.parts or "\\" in name or not _file_names(name):
        raise DataError(f"the path {_shown(name)!r}", f"is no plain path below {folder}", MEND)
    path = folder / name
    if not links and leads_out(folder, path):
        raise DataError(
            f"{folder}/{_shown(name)}", f"is a link that leads out of {folder}", "put the file itself there"
        )
    return path


def _shown(name: str) -> str:
    return printable(name.encode("utf-8", "surrogatepass").decode("utf-8", "backslashreplace"))[:200]


def leads_out(folder: Path, path: Path) -> bool:
    """Whether a link between `folder` and `path`, or `path` itself, leads out of the folder."""
    step = path
    while step != folder:
        if step.is_symlink():
            root = os.path.realpath(folder)
            return os.path.commonpath([root, os.path.realpath(path)]) != root
        step = step.parent
    return False
