"""Real faces from a path: a folder of images, a parquet file of aligned faces, or a manifest."""

from __future__ import annotations

import heapq
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from manifests.adapters import ADAPTERS
from manifests.adapters.base import SourceImage
from manifests.containment import inside
from manifests.contents import compared
from manifests.errors import DataError, MissingError, UsageError, UserError
from manifests.images import READABLE, Image, decode
from manifests.listing import list_files
from manifests.schema import LATER, SCHEMA
from manifests.seeding import seed_of
from manifests.store import column_names, manifest_file, read_images
from manifests.taxonomy import AGES, get_taxonomy

CLEAN: Mapping[str, Any] = {
    "max_outside_frac": 0.10,
    "max_yaw": 0.30,
    "max_residual": 0.035,
    "min_sharpness": 25.0,
    "min_brightness": 45.0,
    "ages": [age for age in AGES if age not in ("0-2", "3-9")],
}
"""The filters of `--clean`: few reflected border pixels, nearly frontal, well aligned, sharp, not dark, age
10 and over.
"""


@dataclass(frozen=True)
class Picture:
    """One picture: uint8 [H, W, 3], or None with the reason why it cannot be used."""

    key: str
    image: Image | None
    reason: str | None = None


def _of_manifest(path: Path) -> Iterator[SourceImage]:
    file = manifest_file(path)
    for row in read_images(file).select(["image_id", "path", "sha256", "label"]).to_pylist():
        if row["label"] == 0:
            yield SourceImage(
                key=row["image_id"],
                path=inside(file.parent, row["path"]),
                sha256=compared(row["sha256"], "whole"),
            )


def _of_folder(folder: Path) -> Iterator[SourceImage]:
    """The pictures below a folder. What cannot be used for another reason than its ending is an item with
    that reason.
    """
    listing = list_files(folder, READABLE)
    if not listing.files:
        raise MissingError(str(folder), "holds no images", f"known endings: {', '.join(READABLE)}")
    for file in listing.files:
        yield SourceImage(key=file.relative_to(folder).as_posix(), path=file)
    yield from (SourceImage(key=one.name, problem=one.reason) for one in listing.unusable)


def ignored(path: Path) -> str | None:
    """A sentence that counts the files in a folder whose endings are not read; None where `path` is none, or
    has none.
    """
    return (
        list_files(path, READABLE).note(path)
        if path.is_dir() and not (path / "manifest.parquet").is_file()
        else None
    )


def faces_of(path: Path, filters: Mapping[str, Any] | None = None) -> Iterator[SourceImage]:
    """The real faces at `path`, in a fixed order.

    Args:
        path: a folder of images (all below it), a parquet file of aligned faces (see the adapter
            `fairface-parquet`), a manifest or its folder (its rows with label 0).
        filters: parameters of the adapter; for parquet files of faces alone.

    Raises:
        MissingError: nothing there, or a folder without images. DataError: another kind of file, or corrupt.
        UsageError: filters the adapter refuses, or filters for something that has no such columns.
    """
    kind = kind_of(path)
    if filters and kind != "faces":
        raise UsageError(
            f"filters for {path}", "apply to parquet files of aligned faces alone", "leave them out"
        )
    if kind == "manifest":
        return _of_manifest(path)
    return _of_folder(path) if kind == "folder" else ADAPTERS.create("fairface-parquet", filters).read(path)


def kind_of(path: Path) -> Literal["manifest", "folder", "faces"]:
    """Whether faces stand in a manifest (or its folder), in a folder of images, or in a parquet file of
    faces.

    Raises:
        DataError: a file of another kind, or a parquet file that cannot be read.
    """
    if path.is_dir():
        return "manifest" if (path / "manifest.parquet").is_file() else "folder"
    if path.is_file() and path.suffix != ".parquet":
        raise DataError(str(path), "is neither a folder, a parquet file nor a manifest", "give one of these")
    return "manifest" if path.is_file() and _is_manifest(path) else "faces"


def _is_manifest(path: Path) -> bool:
    return set(SCHEMA.names) - set(LATER) <= set(column_names(path))


def choose(
    path: Path,
    filters: Mapping[str, Any] | None,
    seed: int,
    most: int | None,
    balance: str | None = None,
) -> list[SourceImage]:
    """Up to `most` faces of `path` (all when None), by an order hashed from the seed and each key.

    A larger `most` adds faces and keeps those of a smaller one. `balance`: a taxonomy; then every of its
    cells has as many faces as the smallest has, at most its share of `most`.

    Errors as `faces_of`; DataError when there is none, or none of a cell; UsageError where faces have no
    attributes.
    """
    if balance is not None:
        return _balanced(path, filters, seed, most, balance)
    order = ((seed_of(seed, "reference", item.key), item.key, item) for item in faces_of(path, filters))
    found = (
        sorted(order, key=lambda t: t[:2])
        if most is None
        else heapq.nsmallest(most, order, key=lambda t: t[:2])
    )
    if not found:
        raise DataError(
            str(path), "holds no real faces that pass the filters", "loosen the filters or give other data"
        )
    return [item for _, _, item in found]


def _balanced(
    path: Path,
    filters: Mapping[str, Any] | None,
    seed: int,
    most: int | None,
    balance: str,
) -> list[SourceImage]:
    cells = get_taxonomy(balance).cells
    groups: dict[str, list[SourceImage]] = {cell: [] for cell in cells}
    if kind_of(path) != "faces":
        raise UsageError(
            f"balance {balance}",
            f"needs faces with race and gender, which {path} has not",
            "give parquet of faces",
        )
    for item in faces_of(path, {**(filters or {}), "taxonomy": balance}):
        if item.cell is not None:
            groups[item.cell].append(item)
    empty = [cell for cell, items in groups.items() if not items]
    if empty:
        raise DataError(
            str(path), f"has no face of {', '.join(empty)}", "loosen the filters, or do not balance"
        )
    count = min(len(items) for items in groups.values())
    count = count if most is None else min(count, max(1, most // len(cells)))
    kept = [
        heapq.nsmallest(
            count, ((seed_of(seed, "reference", i.key), i.key, i) for i in items), key=lambda t: t[:2]
        )
        for items in groups.values()
    ]
    return [item for _, _, item in sorted((row for rows in kept for row in rows), key=lambda t: t[:2])]


def pictures(items: list[SourceImage]) -> Iterator[Picture]:
    """The items decoded, one by one; what cannot be read comes with its reason."""
    for item in items:
        try:
            yield Picture(item.key, decode(item.bytes_of(), item.key))
        except UserError as error:
            yield Picture(item.key, None, error.why)
