"""What exporters share: the rows of a manifest, a safe copy of an image, and the attributes other layouts have no place for."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path, PurePosixPath
from typing import Any

from manifests.atomic import write_bytes
from manifests.containment import inside
from manifests.errors import DataError, MissingError
from manifests.images import READABLE, decode, ending_of, read_bytes
from manifests.schema import metadata_of
from manifests.store import manifest_file, read_manifest

KEPT = (
    "image_id", "label", "method", "family", "race", "gender", "age", "cell", "identity_id", "pair_id", "video_id", "split",
    "landmarks", "landmark_scheme", "licence", "dataset", "target_cell", "source_cell", "consent", "origin",
)
"""Columns that go into every layout with a place for more, and that the adapters read back."""


def rows_of(manifest: Path) -> tuple[Path, str, list[dict[str, Any]]]:
    """The manifest's folder, its taxonomy ("fairface4" where it names none), and its rows. Errors as `read_manifest`."""
    file = manifest_file(manifest)
    table = read_manifest(file)
    return file.parent, metadata_of(table).get("taxonomy") or "fairface4", table.to_pylist()


def image_bytes(folder: Path, name: str, sha256: str | None) -> bytes:
    """The bytes of a picture that is given away: read below the manifest's folder, compared with its digest, decoded.

    Args:
        folder: of the manifest.
        name: of the picture's file, from the manifest.
        sha256: that its row has; None where it has none.

    Raises:
        DataError: it is not there, is no readable picture or another one than its row describes, or a link that leads out.
    """
    try:
        data = read_bytes(inside(folder, name), sha256)
    except MissingError as error:
        raise DataError(name, "is not there, but the manifest names it", "make the dataset again") from error
    decode(data, name)
    return data


def image_of(folder: Path, row: Mapping[str, Any]) -> bytes:
    """The bytes of the image of a row; errors as `image_bytes`."""
    return image_bytes(folder, str(row["path"]), row["sha256"])


def image_name(row: Mapping[str, Any], data: bytes) -> str:
    """The file name an exported image has: its `image_id`, and an ending of pictures: of its path or, else, of its content."""
    ending = PurePosixPath(str(row["path"])).suffix
    return f"{row['image_id']}{ending if ending.lower() in READABLE else ending_of(data)}"


def put_image(out: Path, place: str, row: Mapping[str, Any], data: bytes) -> str:
    """Write the image of a row into the folder `place` below `out`; its path below `out`. What is there whole stays.

    Raises:
        DataError: the place or the row's id leaves `out`, or leads out of it through a link. PartialError: the disk is full.
    """
    path = f"{place}/{image_name(row, data)}"
    target = inside(out, path)
    if not (target.is_file() and target.read_bytes() == data):
        write_bytes(target, data)
    return path


def slug(text: str) -> str:
    """Text as a name of one folder: letters, digits, `-`, `_` and `.`; anything else becomes `-`."""
    return re.sub(r"[^A-Za-z0-9._-]+", "-", text).strip(".-") or "all"


def video_of(row: Mapping[str, Any]) -> str:
    """The row's video, or its own image where it has none."""
    return str(row["video_id"] or row["image_id"])


def attributes(row: Mapping[str, Any]) -> dict[str, Any]:
    """The columns of `KEPT` that this row knows."""
    return {name: row[name] for name in KEPT if row[name] is not None}
