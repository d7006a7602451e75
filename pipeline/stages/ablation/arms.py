"""The two arms of an ablation's training data: equally many images, from balanced or from unbalanced cells.

Both are subsets of the run's train split with whole identities and all their fakes; validation and test rows
are the same in both, so that an arm differs from the other only in which cells its training identities come
from. Images are hard links.
"""

from __future__ import annotations

import os
import shutil
from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa

from manifests.atomic import make_folder
from manifests.containment import inside
from manifests.errors import GateError, UsageError, disk_errors
from manifests.seeding import seed_of
from manifests.splits import largest_remainder
from manifests.store import manifest_file, read_images, write_manifest


def counts_of(identities: Mapping[str, int], shares: Mapping[str, float], arm: str) -> dict[str, int]:
    """Training identities per cell: as many in all as the unbalanced arm can have with these shares.

    identities: how many there are in each cell. shares: of each cell in the unbalanced arm, summing to 1.

    Raises:
        GateError: a cell would have no identity.
    """
    total = min(int(identities[cell] / share + 1e-9) for cell, share in shares.items() if share > 0)
    equal = dict.fromkeys(shares, 1 / len(shares))
    counts = largest_remainder(total, equal if arm == "balanced" else shares, list(shares))
    short = [cell for cell, n in counts.items() if n < 1 or n > identities[cell]]
    if short:
        raise GateError(
            f"the {arm} arm of the ablation",
            f"has no identity, or too few in the dataset, of {', '.join(short)}",
            "raise dataset.per_cell, or give these cells a larger share in ablation.shares",
        )
    return counts


def chosen(
    rows: Sequence[dict[str, Any]],
    shares: Mapping[str, float],
    arm: str,
    seed: int,
    origins: Sequence[str] = (),
) -> set[str]:
    """Identities of the arm: per cell the first ones in an order hashed from the seed, so that arms overlap.

    Where rows are of several origins, an arm has as many identities whichever it takes: those that the origin
    with the fewest has, an equal part of each that is taken.

    Args:
        rows: with `split`, `cell`, `identity_id`, `origin`. shares: of each cell in the unbalanced arm. arm:
            `balanced` or `unbalanced`. seed: of the order. origins: that are taken; none: all.

    Raises:
        GateError: a cell would have no identity. UsageError: no row is of an origin that is asked for.
    """
    by_cell: dict[tuple[str, str], set[str]] = defaultdict(set)
    for row in rows:
        if row["split"] == "train":
            by_cell[row["cell"], row.get("origin") or ""].add(row["identity_id"])
    there = sorted({origin for _, origin in by_cell})
    taken = taken_of(there, origins)
    counts = counts_of(
        {cell: min(len(by_cell[cell, origin]) for origin in there) for cell in shares}, shares, arm
    )
    kept: set[str] = set()
    for cell, count in counts.items():
        parts = largest_remainder(count, dict.fromkeys(taken, 1 / len(taken)), taken)
        for origin, part in parts.items():
            kept |= set(
                sorted(by_cell[cell, origin], key=lambda name: seed_of(seed, "ablation", name))[:part]
            )
    return kept


def taken_of(there: Sequence[str], origins: Sequence[str]) -> list[str]:
    """Of the origins that are there, those that are asked for; all where none is.

    Raises:
        UsageError: one that is asked for is not there.
    """
    missing = [origin for origin in origins if origin not in there]
    if missing:
        raise UsageError(
            f"origins of an ablation's variant: {', '.join(missing)}",
            f"the dataset has none of (it has: {', '.join(there) or 'none'})",
            "see sample.source",
        )
    return [origin for origin in there if not origins or origin in origins]


def _link(source: Path, target: Path) -> None:
    with disk_errors(target):
        make_folder(target.parent)
        target.unlink(missing_ok=True)
        try:
            os.link(os.path.realpath(source), target)
        except OSError:  # another file system, or one without links
            shutil.copyfile(source, target)


def write_arm(
    manifest: Path,
    out: Path,
    shares: Mapping[str, float],
    arm: str,
    seed: int,
    origins: Sequence[str] = (),
) -> Path:
    """The arm's manifest with its images under `out`: train rows of the arm, validation rows of its origins,
    no test row.

    Raises:
        GateError, UsageError: see `chosen`. MissingError, DataError: no manifest, or one that breaks the
            schema.
    """
    file = manifest_file(manifest)
    table = read_images(file)
    names = [
        name
        for name in ("path", "mask_path", "split", "cell", "identity_id", "origin")
        if name in table.column_names
    ]
    rows = table.select(names).to_pylist()
    kept = chosen(rows, shares, arm, seed, origins)
    used = [
        row["identity_id"] in kept
        if row["split"] == "train"
        else row["split"] == "val" and (not origins or row.get("origin") in origins)
        for row in rows
    ]
    for row, use in zip(rows, used, strict=True):
        for name in (row["path"], row["mask_path"]) if use else ():
            if name:
                _link(inside(file.parent, name), inside(out, name))
    path = out / "manifest.parquet"
    write_manifest(table.filter(pa.array(used)), path)
    return path
