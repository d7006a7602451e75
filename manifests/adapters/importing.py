"""`import_images`: any adapter's images into a manifest, by one decode-resize-encode road; what fails is listed.

Images are written as they come; only their rows are held.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from manifests.adapters.base import ADAPTERS, SourceImage
from manifests.atomic import digest_bytes, write_bytes, write_text
from manifests.errors import DataError, MissingError
from manifests.images import SUFFIX, Image, decode, encode, resize
from manifests.records import ImageRecord
from manifests.sanity import swapped_labels
from manifests.seeding import seed_of
from manifests.store import table_of, write_manifest
from manifests.taxonomy import get_taxonomy


@dataclass(frozen=True)
class ImportResult:
    """Where the manifest is, how many images it has, how many were skipped (listed in skipped.csv), what looks wrong."""

    manifest: Path
    n_images: int
    n_skipped: int
    warnings: tuple[str, ...] = ()


def _write(
    item: SourceImage, image: Image, image_id: str, adapter: str, out: Path, codec: str, quality: int | None, size: int | None,
) -> ImageRecord:
    height, width = image.shape[:2]
    if size:
        image = resize(image, size)
    data = encode(image, codec, quality)
    path = f"images/{image_id[:2]}/{image_id}{SUFFIX[codec]}"
    write_bytes(out / path, data)
    scale = (image.shape[1] / width, image.shape[0] / height)
    points = None if item.landmarks is None else [v * scale[k % 2] for k, v in enumerate(item.landmarks)]
    said_by = f"annotation:{item.annotation_source}" if item.annotation_source is not None else None
    return ImageRecord(
        image_id=image_id, path=path, sha256=digest_bytes(data), width=image.shape[1], height=image.shape[0],
        label=item.label, method=item.method, family=item.family, race=item.race, gender=item.gender, age=item.age,
        cell=item.cell, attribute_source="inherited" if item.inherited and said_by else said_by,
        target_cell=item.target_cell, source_cell=item.source_cell,
        identity_id=item.identity_id, pair_id=item.pair_id, video_id=item.video_id, split=item.split, landmarks=points,
        landmark_scheme=item.landmark_scheme if points else None, codec=codec, quality=quality, licence=item.licence,
        dataset=item.dataset or adapter,
    )


def _warnings(records: Iterable[ImageRecord], keys: list[str]) -> list[str]:
    """Labels that contradict names, and fakes or reals of an annotated set that have no attributes."""
    rows = list(records)
    out = swapped_labels([row.label for row in rows], keys)
    bare = sum(row.cell is None for row in rows)
    if 0 < bare < len(rows):
        out.append(f"{bare} of {len(rows)} images have no cell: no annotation, or one that names no single race and gender")
    return out


def import_images(
    adapter: str, source: Path | str, out: Path | str, taxonomy: str | None = None,
    params: Mapping[str, Any] | None = None, *, codec: str = "png", quality: int | None = None, size: int | None = None,
) -> ImportResult:
    """Read a dataset by a registered adapter into `out/manifest.parquet` and `out/images/`.

    Args:
        taxonomy: of the cells; None for the adapter's own.
        codec, quality, size: of all images alike; `size` None keeps each image's own size.

    Raises:
        UsageError: unknown adapter, parameter or taxonomy, a path that leaves the folder.
        MissingError: the layout is not there. DataError: no image could be used. PartialError: the disk is full.
    """
    source, out = Path(source), Path(out)
    taxonomy = get_taxonomy(taxonomy or ADAPTERS.get(adapter).facts.get("taxonomy", "fairface4")).name
    reader = ADAPTERS.create(adapter, {"taxonomy": taxonomy, **(params or {})})
    records: dict[str, ImageRecord] = {}
    keys: list[str] = []
    skipped: list[tuple[str, str]] = []
    for item in reader.read(source):
        try:
            image = decode(item.bytes_of(), item.key)
        except (DataError, MissingError) as error:
            skipped.append((item.key, error.why))
            continue
        image_id = f"{seed_of(0, 'import', adapter, item.key):016x}"
        if image_id in records:  # before writing: the first one's file stays
            skipped.append((item.key, "the key stands twice in the dataset; the first one was kept"))
            continue
        records[image_id] = _write(item, image, image_id, adapter, out, codec, quality, size)
        keys.append(item.key)
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerows([("key", "reason"), *skipped])
    write_text(out / "skipped.csv", text.getvalue())
    if not records:
        raise DataError(str(source), f"gave no usable image ({len(skipped)} skipped)", f"see {out / 'skipped.csv'}")
    manifest = out / "manifest.parquet"
    write_manifest(table_of(records.values(), taxonomy=taxonomy), manifest)
    return ImportResult(manifest, len(records), len(skipped), tuple(_warnings(records.values(), keys)))
