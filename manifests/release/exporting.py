"""What exporters share: the rows of a manifest, a safe copy of an image, and the attributes other layouts have no place for."""

from __future__ import annotations

import re
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from manifests.clip_columns import VIDEO
from manifests.errors import DataError
from manifests.schema import metadata_of, path_escapes
from manifests.store import manifest_file, read_images, read_manifest

KEPT = (
    "image_id", "label", "method", "family", "race", "gender", "age", "cell", "identity_id", "pair_id", "video_id", "split",
    "landmarks", "landmark_scheme", "licence", "dataset", "target_cell", "source_cell",
)
"""Columns that go into every layout with a place for more, and that the adapters read back."""


OF_CLIPS = ("media", "frames", "fps", "duration", "fake_segments")
"""What goes with `KEPT` for a clip."""


def rows_of(manifest: Path, *, clips: bool = False) -> tuple[Path, str, list[dict[str, Any]]]:
    """The manifest's folder, its taxonomy ("fairface4" where it names none), and its rows.

    Args:
        manifest: its file or folder.
        clips: whether the layout has a place for clips; else they are passed by.

    Raises:
        As `read_manifest`, or, without clips, as `manifests.store.read_images`.
    """
    file = manifest_file(manifest)
    table = read_manifest(file) if clips else read_images(file)
    return file.parent, metadata_of(table).get("taxonomy") or "fairface4", table.to_pylist()


def image_of(folder: Path, row: Mapping[str, Any]) -> Path:
    """The image file of a row.

    Raises:
        DataError: it is not there.
    """
    path = folder / str(row["path"])
    if not path.is_file():
        raise DataError(str(row["path"]), "is not there, but the manifest names it", "make the dataset again")
    return path


def image_name(row: Mapping[str, Any]) -> str:
    """The file name an exported image has: its `image_id`, and the ending of its path.

    Raises:
        DataError: the id is a path that leaves the folder it is put into.
    """
    name = f"{row['image_id']}{Path(str(row['path'])).suffix}"
    if path_escapes(name):
        raise DataError(f"image_id {row['image_id']!r:.120}", "would leave the folder of the export", "rename it in the manifest")
    return name


def copy_image(folder: Path, row: Mapping[str, Any], target: Path) -> None:
    """Copy the image file of a row, byte by byte; a DataError where it is not there."""
    source = image_of(folder, row)
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(source, target)


def slug(text: str) -> str:
    """Text as a name of one folder: letters, digits, `-`, `_` and `.`; anything else becomes `-`."""
    return re.sub(r"[^A-Za-z0-9._-]+", "-", text).strip(".-") or "all"


def video_of(row: Mapping[str, Any]) -> str:
    """The row's video, or its own image where it has none."""
    return str(row["video_id"] or row["image_id"])


def attributes(row: Mapping[str, Any]) -> dict[str, Any]:
    """The columns of `KEPT` that this row knows; of a clip also those of `OF_CLIPS`."""
    names = (*KEPT, *OF_CLIPS) if row.get("media") == VIDEO else KEPT
    return {name: row[name] for name in names if row[name] is not None}
