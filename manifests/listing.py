"""The files below a folder: one list for every reader, with what was left out of it and why.

Left out with a reason: endings that the reader does not read, names that are not UTF-8 (no table or JSON can
hold them), pipes, sockets and devices (opening one may wait for ever), broken links, links to folders (they
may lead in circles, or out of the dataset), folders that cannot be opened, and the mask that `fairforge
forge` writes beside its picture. What an operating system drops beside files (AppleDouble `._*`, `.DS_Store`,
`Thumbs.db`, `__MACOSX/`) is nobody's data, and is passed over.
"""

from __future__ import annotations

import os
import stat
from collections import Counter
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from manifests.escaping import printable

MASK = ".mask.png"
JUNK_FILES = frozenset((".ds_store", "thumbs.db", "ehthumbs.db", "desktop.ini", ".localized"))
JUNK_FOLDERS = frozenset(("__macosx", "@eadir", ".appledouble"))
"""Of macOS, Synology's thumbnails, and netatalk. Compared in lower case."""
_KINDS = (
    (stat.S_ISFIFO, "a pipe"),
    (stat.S_ISSOCK, "a socket"),
    (stat.S_ISCHR, "a device"),
    (stat.S_ISBLK, "a device"),
)
NOT_UTF8 = "its name is not UTF-8: rename it"


def is_utf8(name: str) -> bool:
    """Whether a name can be written as UTF-8 text."""
    try:
        name.encode()
    except UnicodeEncodeError:
        return False
    return True


def is_junk(name: str) -> bool:
    """Whether an operating system made the file or folder of this relative path, on a disk or in an
    archive.
    """
    parts = [part.lower() for part in PurePosixPath(name).parts]
    return bool(parts) and (
        not JUNK_FOLDERS.isdisjoint(parts) or parts[-1].startswith("._") or parts[-1] in JUNK_FILES
    )


@dataclass(frozen=True, order=True)
class LeftOut:
    """A file that is not used. name: printable, below the folder. ending: where that alone is the reason."""

    name: str
    reason: str
    ending: str | None = None


@dataclass(frozen=True)
class Listing:
    """files: those to be read, sorted. left: the others but for an operating system's own, sorted by name."""

    files: tuple[Path, ...]
    left: tuple[LeftOut, ...] = ()

    @property
    def unusable(self) -> tuple[LeftOut, ...]:
        """What was left out for another reason than its ending."""
        return tuple(one for one in self.left if one.ending is None)

    def items(self, folder: Path) -> list[Path | LeftOut]:
        """The files, and what was left out for another reason than its ending, its name with the folder's."""
        above = printable(str(folder))
        return [*self.files, *(LeftOut(f"{above}/{one.name}", one.reason) for one in self.unusable)]

    def note(self, folder: Path | str) -> str | None:
        """A sentence that counts what was left out for its ending, or None."""
        counts = Counter(one.ending for one in self.left if one.ending is not None)
        if not counts:
            return None
        listed = ", ".join(f"{count} {ending or 'without ending'}" for ending, count in counts.most_common(8))
        rest = sum(count for _, count in counts.most_common()[8:])
        total, where = sum(counts.values()), printable(str(folder))
        more = f", {rest} others" if rest else ""
        return f"{total} files below {where} were left out for their endings: {listed}{more}"


def _entry_reason(entry: os.DirEntry[str], folder: Path) -> str | None:
    """Why an entry that is no folder of its own cannot be read, whatever its ending; None where it can."""
    if not is_utf8(entry.name):
        return NOT_UTF8
    try:
        mode = entry.stat().st_mode
    except OSError as error:
        return "is a broken link" if entry.is_symlink() else f"cannot be read ({error.strerror})"
    if stat.S_ISDIR(mode):
        return "is a link to a folder, which is not followed"
    kind = next((word for test, word in _KINDS if test(mode)), None)
    if kind is not None:
        return f"is {kind}, not a file"
    picture = entry.name[: -len(MASK)] + ".png"
    if entry.name.lower().endswith(MASK) and (folder / picture).is_file():
        return f"is the mask of {picture}"
    return None


def _entries(folder: Path) -> list[os.DirEntry[str]] | str:
    """What is in a folder but for an operating system's own, or why it cannot be opened."""
    try:
        with os.scandir(folder) as found:
            return [entry for entry in found if not is_junk(entry.name)]
    except OSError as error:
        return f"is a folder that cannot be opened ({error.strerror})"


def list_files(folder: Path, endings: Collection[str], *, below: bool = True) -> Listing:
    """The files of some endings in a folder, and what was left out; no file is opened.

    Args:
        folder: where to look. A link is followed here, and nowhere below.
        endings: in lower case with their dot; a file's own may be in any case.
        below: also in the folders below it.
    """
    files: list[Path] = []
    left: list[LeftOut] = []
    known = f"its ending is none of {', '.join(sorted(endings))}"
    waiting = [folder]
    while waiting:
        where = waiting.pop()
        entries = _entries(where)
        if isinstance(entries, str):
            left.append(LeftOut(printable(where.relative_to(folder).as_posix()), entries))
            continue
        for entry in entries:
            path = where / entry.name
            name = printable(path.relative_to(folder).as_posix())
            inside = entry.is_dir(follow_symlinks=False)
            reason = _entry_reason(entry, where) if not inside else None if is_utf8(entry.name) else NOT_UTF8
            if inside and not below:
                continue
            if reason is not None:
                left.append(LeftOut(name, reason))
            elif inside:
                waiting.append(path)
            elif path.suffix.lower() in endings:
                files.append(path)
            else:
                left.append(LeftOut(name, known, path.suffix.lower()))
    return Listing(tuple(sorted(files)), tuple(sorted(left, key=lambda one: one.name)))


def list_folders(folder: Path) -> Listing:
    """The folders in a folder, links to folders among them; those whose names are not UTF-8 are left out.

    An empty listing where there is no such folder.
    """
    entries = _entries(folder) if folder.is_dir() else []
    if isinstance(entries, str):
        return Listing((), (LeftOut(".", entries),))
    inside = [entry.name for entry in entries if entry.is_dir()]
    left = sorted(LeftOut(printable(name), NOT_UTF8) for name in inside if not is_utf8(name))
    return Listing(tuple(sorted(folder / name for name in inside if is_utf8(name))), tuple(left))
