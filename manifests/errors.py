"""Errors that a user can act on: what happened, why, and what to do about it.

Every error that is the user's to mend is a `UserError`. The CLI prints it as two lines
(`error: ...` and `fix: ...`) and leaves with `exit_code`; anything else is a bug and keeps its traceback.
"""

from __future__ import annotations

import errno
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

EXIT_DONE = 0
EXIT_BUG = 1
EXIT_USAGE = 2
EXIT_MISSING = 3
EXIT_GATE = 4
EXIT_PARTIAL = 5
EXIT_INTERRUPTED = 130


LONGEST = 10_000
"""Characters of each part of a message: what is longer repeats what a file holds."""


def _bounded(text: str) -> str:
    return text if len(text) <= LONGEST else f"{text[:LONGEST]}... ({len(text) - LONGEST} more characters)"


class DataWarning(UserWarning):
    """Something about a file that a user should know although it is used, e.g. metadata that were lost and
    inferred again.
    """


class UserError(Exception):
    """Something the user can mend.

    Args:
        what: the thing that failed, named (a path, a key, a value).
        why: the reason, as a fact.
        fix: what to do next, as a command or an edit.
    """

    exit_code = EXIT_USAGE

    def __init__(self, what: str, why: str, fix: str) -> None:
        what, why, fix = (_bounded(text) for text in (what, why, fix))
        super().__init__(what, why, fix)
        self.what = what
        self.why = why
        self.fix = fix

    def __str__(self) -> str:
        return f"{self.what}: {self.why}"


class UsageError(UserError):
    """A wrong argument, key or value (exit 2)."""

    exit_code = EXIT_USAGE


class MissingError(UserError):
    """Weights, data or a package that is needed is not there (exit 3)."""

    exit_code = EXIT_MISSING


class DataError(UserError):
    """A file is there but cannot be used: corrupt, truncated, of another format (exit 3)."""

    exit_code = EXIT_MISSING


class GateError(UserError):
    """A gate of quality failed: balance, leakage, shortcut, integrity (exit 4)."""

    exit_code = EXIT_GATE


class PartialError(UserError):
    """Some work is left; what is done is kept and the same command goes on (exit 5)."""

    exit_code = EXIT_PARTIAL


FULL = (errno.ENOSPC, errno.EDQUOT)
FORBIDDEN = (errno.EACCES, errno.EPERM, errno.EROFS)
NO_PLACE = (errno.ENOTDIR, errno.EISDIR, errno.EEXIST, errno.ENAMETOOLONG, errno.ELOOP)
"""A file where a folder belongs or the reverse, a name that no file system takes, links in a circle."""


def of_the_disk(error: OSError, path: Path) -> UserError | None:
    """What a user is told of an error of the disk at `path`; None for an error of another kind."""
    if error.errno in FULL:
        return PartialError(
            str(path),
            "the disk is full; everything finished before is kept",
            "free some space, then run the same command again: it goes on where it stopped",
        )
    if error.errno in FORBIDDEN:
        return UsageError(
            str(path),
            f"cannot be written ({error.strerror})",
            "choose another --out, or change the folder's permissions",
        )
    if error.errno in NO_PLACE:
        return UsageError(
            str(path), f"is no place for it ({error.strerror})", "check the path, or choose another --out"
        )
    return None


@contextmanager
def disk_errors(path: Path) -> Iterator[None]:
    """Turn an error of the disk at `path` into a `UserError`: full, read-only, forbidden, a path that can be
    no such file.

    Raises:
        PartialError: the disk is full or over quota; what was finished before is kept.
        UsageError: the folder cannot be written, or cannot be a folder.
    """
    try:
        yield
    except OSError as error:
        told = of_the_disk(error, path)
        if told is None:
            raise
        raise told from error


class HandedOver(Exception):
    """No error: the rest of a command is done by jobs of a cluster; the text says by which."""
