"""The file of a clip or of its sound that a manifest's row names: below the manifest's folder, and the one
described.
"""

from __future__ import annotations

from pathlib import Path

from manifests.atomic import digest_file
from manifests.containment import inside
from manifests.errors import DataError, MissingError
from manifests.images import CHANGED


def clip_file(folder: Path, name: str, sha256: str | None) -> Path:
    """The path of a clip or of a file of sound.

    Args:
        folder: of the manifest.
        name: from its row.
        sha256: that its row has, hex; None: it is not compared.

    Raises:
        MissingError: it is not there. DataError: the name leaves the folder, or it is another file than the
            row describes.
    """
    path = inside(folder, name)
    if not path.is_file():
        raise MissingError(name, "is not there, but the manifest names it", "make or fetch it again")
    if sha256 is not None and digest_file(path) != sha256:
        raise DataError(
            name,
            CHANGED,
            "make or fetch it again: it was changed, swapped or cut off since its row was written",
        )
    return path
