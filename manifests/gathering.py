"""`gather`: several manifests of one taxonomy into one, without near-duplicates, balanced by cell and origin,
splits disjoint.

For photographs that were imported file by file. Which rows are kept and where they go follows from the seed
and the ids, never from the order of the sources.
"""

from __future__ import annotations

import os
import shutil
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from manifests.atomic import atomic_path, drop_temporaries, make_folder, write_bytes
from manifests.audit.duplicates import DuplicateParams, difference_hash, near_copies, thumbnail
from manifests.containment import inside
from manifests.errors import DataError, UsageError
from manifests.images import read_bytes, read_image
from manifests.locks import writing_alone
from manifests.picture_shards import in_shard
from manifests.schema import SCHEMA, metadata_of
from manifests.seeding import seed_of
from manifests.splits import assign_splits
from manifests.store import manifest_file, read_images, write_manifest

Row = dict[str, Any]


@dataclass(frozen=True)
class Gathered:
    """Where the manifest is, its images, and how many were left out, by reason."""

    manifest: Path
    images: int
    left_out: Mapping[str, int]


def gather(
    sources: Sequence[Path],
    out: Path,
    *,
    shares: Mapping[str, float],
    per_cell: int | None = None,
    seed: int = 2026,
    split: str | None = None,
    without: Sequence[Path] = (),
) -> Gathered:
    """Gather manifests into `out/manifest.parquet`, their pictures linked or copied into `out/images/`.

    Args:
        sources: manifests or their folders, all of one taxonomy.
        out: made if needed.
        shares: split -> share of the identities of each cell and origin, summing to 1.
        per_cell: at most so many real images of each cell and origin; None for all. Rows without a cell are
            then left out.
        seed: decides which rows are kept and which split they are in.
        split: only rows that are of this split in their manifest; None for all.
        without: manifests or their folders, of any taxonomy: no picture is kept that one of their real
            images is, in bytes or to the eye, and nobody whose `identity_id` is there.

    Raises:
        UsageError: no source, or taxonomies that differ. DataError: pictures of fakes (gather real faces), a
            picture that
        cannot be read or is not the one its row describes, or nothing left.
    """
    if not sources:
        raise UsageError("gather", "has no source", "name the manifests to gather")
    tables = [(manifest_file(source), read_images(source)) for source in sources]
    taxonomies = {metadata_of(table).get("taxonomy", "") for _, table in tables}
    if len(taxonomies) > 1:
        raise UsageError(
            "the manifests",
            f"are of several taxonomies: {', '.join(sorted(taxonomies))}",
            "import them in one",
        )
    rows = sorted(
        (
            row
            for file, table in tables
            for row in _rows(file, table)
            if split is None or row["split"] == split
        ),
        key=lambda row: (seed_of(seed, "gather", row["image_id"]), str(row["file"])),
    )
    forged = next((row for row in rows if row["label"] != 0), None)
    if forged is not None:
        raise DataError(
            str(forged["file"]),
            "is a fake",
            "gather real faces; `fairforge forge` or train.online makes the fakes",
        )
    left_out: Counter[str] = Counter()
    others = [
        row
        for file in map(manifest_file, without)
        for row in _rows(file, read_images(file))
        if row["label"] == 0
    ]
    rows = _within_cells(_distinct(rows, others, left_out), per_cell, left_out)
    if not rows:
        raise DataError(
            "the manifests", f"gave no image ({dict(left_out)})", "give manifests of real faces with cells"
        )
    splits = assign_splits(
        [row["identity_id"] or row["image_id"] for row in rows],
        list(map(_stratum, rows)),
        shares,
        seed=seed,
    )
    with writing_alone(out):
        drop_temporaries(out / "images")
        drop_temporaries(out, ("manifest.parquet",))
        for row, split in zip(rows, splits, strict=True):
            row["split"], row["path"] = (
                split,
                f"images/{row['image_id'][:2]}/{row['image_id']}{Path(row['path']).suffix}",
            )
            _bring(row["file"], inside(out, row["path"]))
        rows.sort(key=lambda row: str(row["image_id"]))
        table = pa.Table.from_pylist(
            [{name: row[name] for name in SCHEMA.names} for row in rows], schema=SCHEMA
        )
        manifest = out / "manifest.parquet"
        write_manifest(table.replace_schema_metadata(tables[0][1].schema.metadata), manifest)
    return Gathered(manifest, len(rows), dict(left_out))


def _rows(file: Path, table: pa.Table) -> list[Row]:
    """The rows of a manifest, each with where its picture is."""
    return [{**row, "file": inside(file.parent, row["path"])} for row in table.to_pylist()]


def _distinct(rows: list[Row], others: list[Row], left_out: Counter[str]) -> list[Row]:
    """Rows whose id and picture come for the first time: no equal bytes, nothing that is the same to the
    eye; of nobody and no picture among the others.
    """
    people = {row["identity_id"] for row in others} - {None}
    names = {name for row in others for name in (row["image_id"], row["sha256"])} - {None}
    apart = [
        row
        for row in rows
        if not {row["image_id"], row["sha256"]} & names and row["identity_id"] not in people
    ]
    if others:
        left_out["in a manifest that it is to be without"] += len(rows) - len(apart)
    rows = apart
    seen: set[str] = set()
    kept = []
    for row in rows:
        known = {row["image_id"], row["sha256"]} - {None}
        if known & seen:
            left_out["equal to another"] += 1
            continue
        seen |= known
        kept.append(row)
    images = (read_image(row["file"], row["sha256"]) for row in (*others, *kept))
    looks = [(difference_hash(image), thumbnail(image).astype(np.float32)) for image in images]
    gone: set[int] = set()
    hashes, thumbnails = (np.array([look[k] for look in looks]) for k in (0, 1))
    for i, j in near_copies(hashes, thumbnails, DuplicateParams()) if looks else []:
        if j >= len(others) and i not in gone:
            gone.add(j)
    left_out["the same picture to the eye"] += len(gone)
    return [row for k, row in enumerate(kept, len(others)) if k not in gone]


def _within_cells(rows: list[Row], per_cell: int | None, left_out: Counter[str]) -> list[Row]:
    """The first `per_cell` rows of each cell and origin."""
    if per_cell is None:
        return rows
    count: dict[str | None, int] = defaultdict(int)
    kept = []
    for row in rows:
        if row["cell"] is None:
            left_out["no cell"] += 1
        elif count[_stratum(row)] >= per_cell:
            left_out["more than per_cell"] += 1
        else:
            count[_stratum(row)] += 1
            kept.append(row)
    return kept


def _stratum(row: Row) -> str | None:
    """What the shares and `per_cell` hold for: a cell and origin."""
    return row["cell"] and f"{row['cell']} {row['origin']}"


def _bring(source: Path, target: Path) -> None:
    """Link a file into its new place, or copy it where links do not reach."""
    if in_shard(source) is not None:
        write_bytes(target, read_bytes(source))
        return
    if target.is_file() and target.stat().st_size == source.stat().st_size:
        return
    make_folder(target.parent)
    with atomic_path(target) as temporary:
        try:
            Path(temporary).unlink(missing_ok=True)
            os.link(os.path.realpath(source), temporary)
        except OSError:
            shutil.copyfile(source, temporary)
