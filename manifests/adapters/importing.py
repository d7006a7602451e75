"""`import_images`: any adapter's images into a manifest, by one decode-resize-encode road; what fails is
listed.

Images are written as they come and rows in parts, so that an import of any size holds few of them and,
killed, goes on.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import pyarrow as pa

from manifests.adapters.base import ADAPTERS, Adapter, SourceImage, carried_over
from manifests.adapters.clip_import import clip_record
from manifests.adapters.import_parts import KEY, ImportParts, left
from manifests.atomic import (
    digest_bytes,
    digest_file,
    digest_listing,
    digest_value,
    drop_temporaries,
    write_bytes,
)
from manifests.clip_columns import VIDEO
from manifests.errors import DataError, MissingError, UsageError
from manifests.images import SUFFIX, Image, encode, resize
from manifests.locks import writing_alone
from manifests.records import ImageRecord
from manifests.sanity import swapped_labels
from manifests.seeding import seed_of
from manifests.skipped import write_skipped
from manifests.store import write_manifest
from manifests.tally import Tally
from manifests.taxonomy import get_taxonomy

TWICE = "the key stands twice in the dataset; the first one was kept"


class Crop(Protocol):
    """Takes the face out of a picture. `key` says how, for a resumed import."""

    @property
    def key(self) -> str: ...

    def __call__(self, image: Image, item: SourceImage) -> Image:
        """The crop, or the picture itself where nothing is to be cropped.

        Raises:
            DataError: with the reason why there is none.
        """
        ...


@dataclass(frozen=True)
class ImportResult:
    """Where the manifest is, how many images it has, how many were skipped (listed in skipped.csv), what
    looks wrong.
    """

    manifest: Path
    n_images: int
    n_skipped: int
    warnings: tuple[str, ...] = ()


def _write(
    item: SourceImage,
    image: Image,
    image_id: str,
    adapter: str,
    out: Path,
    codec: str,
    quality: int | None,
    size: int | None,
) -> ImageRecord:
    height, width = image.shape[:2]
    if size:
        image = resize(image, size)
    data = encode(image, codec, quality)
    path = f"images/{image_id[:2]}/{image_id}{SUFFIX[codec]}"
    write_bytes(out / path, data)
    scale = (image.shape[1] / width, image.shape[0] / height)
    points = None if item.landmarks is None else [v * scale[k % 2] for k, v in enumerate(item.landmarks)]
    return ImageRecord(
        image_id=image_id,
        path=path,
        sha256=digest_bytes(data),
        width=image.shape[1],
        height=image.shape[0],
        landmarks=points,
        landmark_scheme=item.landmark_scheme if points else None,
        codec=codec,
        quality=quality,
        **carried_over(item, adapter),
    )


def _bare(rows: pa.Table, annotated: bool) -> list[str]:
    """A warning about images without a cell, where the source has attributes or some images have a cell."""
    bare = rows["cell"].null_count
    if bare == 0 or not (annotated or bare < rows.num_rows):
        return []
    if bare < rows.num_rows:
        return [
            f"{bare} of {rows.num_rows} images have no cell: no annotation, or one that names no single race"
            " and gender"
        ]
    first = {
        name: next(filter(None, rows[name].to_pylist()), "missing") for name in ("race", "gender", "age")
    }
    found = ", ".join(f"{name} {word}" for name, word in first.items())
    return [
        f"none of the {rows.num_rows} images has a cell, though the source has a place for attributes "
        f"({found}): they are missing, or are no words of the taxonomy"
    ]


def _warnings(rows: pa.Table, skipped: Sequence[tuple[str, str]], annotated: bool) -> list[str]:
    """Labels that contradict names, images of an annotated set without attributes, and what was skipped for
    what.
    """
    out = [*swapped_labels(rows["label"].to_pylist(), rows[KEY].to_pylist()), *_bare(rows, annotated)]
    if skipped:
        out.append(f"{len(skipped)} items gave no image: skipped.csv has the reasons")
        out += _reasons(skipped).lines("of them")
    return out


def _reasons(skipped: Sequence[tuple[str, str]]) -> Tally:
    tally = Tally()
    for key, reason in skipped:
        tally.add(reason, key)
    return tally


def _named_files(params: Mapping[str, Any]) -> list[str]:
    """Digests of the files that parameters name outside the source, by the parameters' names."""
    texts = (str(value) for _, value in sorted(params.items()) if isinstance(value, str | Path))
    return [digest_file(text) for text in texts if text and Path(text).is_file()]


def _id_of(adapter: str, item: SourceImage) -> str:
    return f"{seed_of(0, 'import', adapter, item.key):016x}"


def _keep_clip(parts: ImportParts, item: SourceImage, adapter: str, out: Path) -> None:
    """The row of a clip, or its reason: clips are taken as they are."""
    image_id = _id_of(adapter, item)
    if image_id in parts.ids:
        parts.skip(item.key, TWICE)
        return
    try:
        parts.keep(clip_record(item, image_id, adapter, out), item.key)
    except (DataError, MissingError) as error:
        parts.skip(item.key, error.why)


def import_images(
    adapter: str,
    source: Path | str,
    out: Path | str,
    taxonomy: str | None = None,
    params: Mapping[str, Any] | None = None,
    *,
    codec: str = "png",
    quality: int | None = None,
    size: int | None = None,
    crop: Crop | None = None,
) -> ImportResult:
    """Read a dataset by a registered adapter into `out/manifest.parquet` and `out/images/`.

    Killed and called again with the same arguments and an unchanged source it goes on after its last whole
    part (2000 items, whole videos); where a file of the source came, went or changed meanwhile it begins
    again.

    Args:
        taxonomy: of the cells; None for the adapter's own.
        codec: of all images alike.
        quality: of all images alike.
        size: of all images alike; None keeps each image's own size.
        crop: takes the face out of each picture, before `size`; None leaves pictures whole.

    Raises:
        UsageError: unknown adapter, parameter or taxonomy.
        MissingError: the layout is not there. DataError: no image could be used. PartialError: the disk is
            full.
    """
    source, out = Path(source), Path(out)
    own = (params or {}).get("taxonomy")
    if taxonomy and own and own != taxonomy:
        raise UsageError(
            f"taxonomy {taxonomy}", f"and the adapter's parameter taxonomy = {own} differ", "give one of them"
        )
    taxonomy = get_taxonomy(taxonomy or own or ADAPTERS.get(adapter).facts.get("taxonomy", "fairface4")).name
    given = {**(params or {}), "taxonomy": taxonomy}
    key = digest_value(
        {
            "version": 3,
            "adapter": adapter,
            "params": {name: str(value) for name, value in given.items()},
            "source": os.path.realpath(source),
            "files": [
                digest_listing(Path(os.path.realpath(source)), Path(os.path.realpath(out))),
                *_named_files(given),
            ],
            "encoding": [codec, quality, size],
            "crop": crop.key if crop else None,
        }
    )
    reader = ADAPTERS.create(adapter, given)
    with writing_alone(out):
        drop_temporaries(out / "images")
        drop_temporaries(out / "parts")
        drop_temporaries(out, ("manifest.parquet", "skipped.csv"))
        return _import(reader, adapter, source, out, taxonomy, key, codec, quality, size, crop)


def _import(
    reader: Adapter,
    adapter: str,
    source: Path,
    out: Path,
    taxonomy: str,
    key: str,
    codec: str,
    quality: int | None,
    size: int | None,
    crop: Crop | None,
) -> ImportResult:
    """`import_images` once its arguments are known; nobody else writes into `out` meanwhile."""
    parts = ImportParts(out / "parts", key, taxonomy)
    for item in left(reader, source, parts, out):
        parts.begin(item)
        if item.media == VIDEO:
            _keep_clip(parts, item, adapter, out)
            continue
        try:
            image = item.pixels()
            taken = image if crop is None else crop(image, item)
        except (DataError, MissingError) as error:
            parts.skip(item.key, error.why)
            continue
        image_id = _id_of(adapter, item)
        if image_id in parts.ids:  # before writing: the first one's file stays
            parts.skip(item.key, TWICE)
            continue
        moved = (
            item if taken is image else item.model_copy(update={"landmarks": None, "landmark_scheme": None})
        )
        parts.keep(_write(moved, taken, image_id, adapter, out, codec, quality, size), item.key)
    parts.write()
    write_skipped(out / "skipped.csv", parts.skipped)
    rows = parts.rows()
    if rows is None:
        parts.clear()
        why = [
            f"gave no usable image or clip ({len(parts.skipped)} skipped)",
            *_reasons(parts.skipped).lines("of them", 3),
        ]
        fix = (
            f"see {out / 'skipped.csv'}"
            if parts.skipped
            else "ask for another split, or see what is missing with --check"
        )
        raise DataError(str(source), "; ".join(why), fix)
    manifest = out / "manifest.parquet"
    write_manifest(rows.drop_columns([KEY]), manifest)
    parts.clear()
    warnings = _warnings(rows, parts.skipped, getattr(reader, "annotated", False))
    return ImportResult(manifest, rows.num_rows, len(parts.skipped), tuple(warnings))
