"""Balance: in every split the same number of images in each cell x label x method, and pairs whose halves agree."""

from __future__ import annotations

import json
from collections import defaultdict

import pyarrow as pa

from manifests.schema import Finding, cell_counts, metadata_of
from manifests.taxonomy import TAXONOMIES


def check_balance(table: pa.Table) -> list[Finding]:
    """What keeps a manifest from being balanced; empty when it is.

    Per split: each cell of the taxonomy is there, every (cell, method) present in the split has the same count; where the manifest
    has a plan (`fairforge.plan`: split -> cell -> identities), each cell of the plan has its own. Per fake: its pair has a real
    image, of the same cell, split, codec and quality.
    """
    return [*_counts(table), *_pairs(table)]


def shortfalls(table: pa.Table) -> dict[str, int]:
    """Images lacking per `split cell method`, against the plan or the fullest of the split; empty when balanced."""
    counts = cell_counts(table)
    plan: dict[str, dict[str, int]] = json.loads(metadata_of(table).get("plan", "{}"))
    out = {}
    for split in sorted({str(key[0]) for key in counts}):
        inside = {(key[1], key[3]): n for key, n in counts.items() if str(key[0]) == split}
        most = max(inside.values())
        methods = sorted({method for _, method in inside})
        present = {cell for cell, _ in inside}
        planned = plan.get(split)
        for cell in sorted({*planned, *map(str, present)}) if planned else _cells(table, present):
            for method in methods:
                lacking = (planned.get(cell, 0) if planned else most) - inside.get((cell, method), 0)
                if lacking:
                    out[f"{split} {cell} {method}"] = lacking
    return out


def _cells(table: pa.Table, present: set[str | None]) -> list[str]:
    taxonomy = TAXONOMIES.get(metadata_of(table).get("taxonomy", ""))
    cells = set(taxonomy.cells) if taxonomy else set()
    return sorted(cells | {str(cell) for cell in present})


def _counts(table: pa.Table) -> list[Finding]:
    lacking = shortfalls(table)
    by_split: dict[str, list[str]] = defaultdict(list)
    for name, count in lacking.items():
        split, _, rest = name.partition(" ")
        by_split[split].append(f"{rest} lacks {count}")
    return [
        Finding("unbalanced", f"split {split}: {'; '.join(short[:8])}", len(short))
        for split, short in by_split.items()
    ]


def _pairs(table: pa.Table) -> list[Finding]:
    columns = ["image_id", "label", "pair_id", "cell", "split", "codec", "quality", "width", "height"]
    rows = table.select(columns).to_pylist()
    real = {row["pair_id"]: row for row in rows if row["label"] == 0 and row["pair_id"] is not None}
    lonely = [row["image_id"] for row in rows if row["label"] == 1 and row["pair_id"] not in real]
    out = []
    if lonely:
        out.append(Finding("no-real-half", "the pair has no real image", len(lonely), tuple(lonely[:5])))
    for column in ("cell", "split", "codec", "quality", "width", "height"):
        bad = [
            row["image_id"] for row in rows
            if row["label"] == 1 and row["pair_id"] in real and row[column] != real[row["pair_id"]][column]
        ]
        if bad:
            out.append(Finding("pair-disagrees", f"{column} differs from the real half's", len(bad), tuple(bad[:5])))
    return out
