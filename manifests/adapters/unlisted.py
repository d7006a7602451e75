"""Files of a dataset's folder that its list does not name: each is an item with its reason, and so a line of
`skipped.csv`.

Where the user names a list and not a folder, the list is the dataset, and what else lies beside it is not
looked at.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Collection, Iterable, Iterator
from pathlib import Path

from manifests.adapters.base import SourceImage
from manifests.images import READABLE
from manifests.listing import list_files
from manifests.values import BadValue, relative_path


class Named:
    """The files that lists name, by their paths below the dataset's folder.

    A row names its file even where another of its values cannot be read: its own item says so.
    """

    def __init__(self) -> None:
        self.paths: set[str] = set()

    def add(self, value: object, below: str = "") -> None:
        """A path as a list has it, relative to the folder `below` (with its slash); nothing where it is no
        such path.
        """
        try:
            self.paths.add(below + relative_path(value))
        except BadValue:
            return


def unlisted(
    source: Path,
    folders: Iterable[Path],
    named: Collection[str],
    list_name: str,
    endings: Collection[str] = READABLE,
) -> Iterator[SourceImage]:
    """An item with its problem for every file that no list names, and for what nobody can read whatever its
    ending.

    Args:
        source: the dataset's folder; names and keys are relative to it.
        folders: where to look, `source` itself or folders below it; one that is not there is passed over.
        named: the paths that lists name.
        list_name: what the lists are called, for the reason.
        endings: of the dataset's own files; others are no part of it.
    """
    in_order: list[str] = []
    for folder in folders:
        listing = list_files(folder, endings) if folder.is_dir() else None
        for path in listing.files if listing else ():
            key = path.relative_to(source).as_posix()
            if key not in named:
                yield SourceImage(key=key, path=path, problem=f"is not named by {list_name}")
        below = "" if folder == source else f"{folder.relative_to(source).as_posix()}/"
        for one in listing.unusable if listing else ():
            key = below + one.name
            in_order = in_order or sorted(named)
            at = bisect_left(in_order, f"{key}/")
            followed = at < len(in_order) and in_order[at].startswith(
                f"{key}/"
            )  # a link to a folder that a list goes through
            if key not in named and not followed:
                yield SourceImage(key=key, path=folder / one.name, problem=one.reason)
