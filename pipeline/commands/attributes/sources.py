"""Pictures to annotate, one after another: image files, folders, manifests, parquet files of faces, videos.

Each comes as `(row, image)`: `row` has `path` (and `image_id` or `frame`), `image` is uint8 [H, W, 3] RGB, or
None where it could not be read; the row then says why.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from manifests.containment import inside
from manifests.contents import compared
from manifests.errors import DataError, MissingError, UserError
from manifests.escaping import printable
from manifests.images import READABLE, decode, read_image
from manifests.listing import NOT_UTF8, LeftOut, is_utf8, list_files
from manifests.store import read_images, read_table
from manifests.video_frames import VIDEO_SUFFIXES, frames_of

Picture = tuple[dict[str, Any], npt.NDArray[np.uint8] | None]


def _unusable(row: dict[str, Any], error: UserError) -> Picture:
    from attribute_models.attributes.annotation import failed, reason_of

    return failed(row, reason_of(error.why), error.why), None


def _image(row: dict[str, Any], path: Path) -> Picture:
    try:
        return row, read_image(path)
    except UserError as error:
        return _unusable(row, error)


def _row_image(row: dict[str, Any], folder: Path) -> Picture:
    named = {"path": row["path"], "image_id": row["image_id"]}
    try:
        return named, read_image(inside(folder, row["path"]), compared(row["sha256"], "whole"))
    except UserError as error:
        return _unusable(named, error)


def _video(row: dict[str, Any], path: Path, frames: int) -> Iterator[Picture]:
    try:
        for number, image in frames_of(path, frames):
            yield {**row, "frame": number}, image
    except DataError as error:
        yield _unusable(row, error)


def _manifest(path: Path) -> Iterator[Picture]:
    for row in read_images(path).select(["image_id", "path", "sha256"]).to_pylist():
        yield _row_image(row, path.parent)


def _embedded(path: Path) -> Iterator[Picture]:
    for number, row in enumerate(read_table(path, ("file", "image")).select(["file", "image"]).to_pylist()):
        named = {"path": str(row["file"] or f"{path}#{number}")}
        try:
            yield named, decode(row["image"] or b"", named["path"])
        except DataError as error:
            yield _unusable(named, error)


def _parquet(path: Path) -> Iterator[Picture]:
    names = set(read_table(path).column_names)
    if {"image_id", "path"} <= names:
        yield from _manifest(path)
    elif {"file", "image"} <= names:
        yield from _embedded(path)
    else:
        raise DataError(
            str(path),
            "is neither a manifest (image_id, path) nor a file of faces (file, image)",
            "name images or a manifest",
        )


def _one(path: Path | LeftOut, frames: int) -> Iterator[Picture]:
    if isinstance(path, LeftOut):
        yield _unusable({"path": path.name}, DataError(path.name, path.reason, "remove or rename it"))
    elif path.suffix.lower() == ".parquet":
        yield from _parquet(path)
    elif path.suffix.lower() in VIDEO_SUFFIXES:
        yield from _video({"path": str(path)}, path, frames)
    else:
        yield _image({"path": str(path)}, path)


def pictures(
    paths: list[Path], frames: int = 1, note: Callable[[str], None] | None = None
) -> Iterator[Picture]:
    """Every picture below the paths; folders sorted by name, a folder with `manifest.parquet` by its
    manifest.

    Args:
        paths: files and folders.
        frames: evenly spaced frames taken of a video.
        note: is told, in a sentence, what was left out of a folder for its ending.

    Raises:
        MissingError: a path is not there, nothing to annotate, or a video without the package that reads it.
        DataError: a parquet file of another layout.
    """
    known = {*READABLE, *VIDEO_SUFFIXES}
    found = 0
    for path in paths:
        if not path.exists():
            raise MissingError(
                printable(str(path)), "is not there", "name images, folders, videos or a manifest"
            )
        files: list[Path | LeftOut] = [path]
        if not is_utf8(str(path)):
            files = [LeftOut(printable(str(path)), NOT_UTF8)]
        elif (path / "manifest.parquet").is_file():
            files = [path / "manifest.parquet"]
        elif path.is_dir():
            listing = list_files(path, known)
            files = listing.items(path)
            if note and (text := listing.note(path)):
                note(text)
        for file in files:
            found += 1
            yield from _one(file, frames)
    if not found:
        raise MissingError(
            ", ".join(map(str, paths)),
            "hold no images or videos",
            f"known endings: {', '.join(sorted(known))}, .parquet",
        )
