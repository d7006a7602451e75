"""Balance: in every split the same number of images in each cell x origin x label x method, and pairs whose
halves agree.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Callable, Mapping

import pyarrow as pa
import pyarrow.compute as pc

from manifests.schema import Finding, column_or_nulls, first_levels, metadata_of, origin_counts
from manifests.taxonomy import TAXONOMIES

REAL = "none"
Stratum = tuple[str, str | None, str]
"""Cell, origin, method."""


def check_balance(table: pa.Table) -> list[Finding]:
    """What keeps a manifest from being balanced; empty when it is.

    Per split: each cell of the taxonomy is there, every (cell, origin, method) has the same count; where the
    manifest has a plan (`fairforge.plan`: split -> cell -> identities of each origin), each cell of the plan
    has its own. Origins are those of the real images of the split; a method of wholly generated faces (family
    `synthesis`) has its own. Per fake: its pair has a real image of the same cell, split, codec and quality
    and, unless it is wholly generated, origin. Where images come in several qualities, each has all of them,
    and its pair is looked for at its own quality.
    """
    return [*_counts(table), *_pairs(table), *_tuples(table)]


def shortfalls(table: pa.Table) -> dict[str, int]:
    """Images lacking per `split cell method`, against the plan or the fullest of the split; empty when
    balanced.

    Where real images of a split have several origins, the origin stands after the cell: `split cell origin
    method`.
    """
    counts = origin_counts(first_levels(table))
    generated = set(table.filter(pc.equal(table["family"], "synthesis"))["method"].to_pylist())
    plan: dict[str, dict[str, int]] = json.loads(metadata_of(table).get("plan", "{}"))
    out = {}
    for split in sorted({str(key[0]) for key in counts}):
        inside = {
            (str(cell), origin, method): n
            for (part, cell, origin, _, method), n in counts.items()
            if str(part) == split
        }
        most, planned = max(inside.values()), plan.get(split)
        present = {cell for cell, *_ in inside}
        real = _origins(inside, lambda method: method == REAL) or _origins(inside, lambda method: True)
        for cell in sorted({*planned, *present}) if planned else _cells(table, present):
            for method in sorted({method for *_, method in inside}):
                for origin in _origins(inside, generated.__contains__) if method in generated else real:
                    lacking = (planned.get(cell, 0) if planned else most) - inside.get(
                        (cell, origin, method), 0
                    )
                    if lacking:
                        named = f"{cell} {origin or 'unknown'}" if len(real) > 1 else cell
                        out[f"{split} {named} {method}"] = lacking
    return out


def _origins(inside: Mapping[Stratum, int], of: Callable[[str], bool]) -> list[str | None]:
    """The origins of the images by these methods, in a fixed order."""
    return sorted({origin for _, origin, method in inside if of(method)}, key=str)


def _cells(table: pa.Table, present: set[str]) -> list[str]:
    taxonomy = TAXONOMIES.get(metadata_of(table).get("taxonomy", ""))
    cells = set(taxonomy.cells) if taxonomy else set()
    return sorted(cells | present)


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


def _tuples(table: pa.Table) -> list[Finding]:
    """Images that lack a quality which others have, or have one twice."""
    if "tuple_id" not in table.column_names:
        return []
    levels: dict[str, list[tuple[str, int]]] = defaultdict(list)
    for row in table.select(["tuple_id", "codec", "quality"]).to_pylist():
        if row["tuple_id"] is not None:
            levels[row["tuple_id"]].append(
                (str(row["codec"]), row["quality"] if row["codec"] == "h264" else 0)
            )
    most = max((len(found) for found in levels.values()), default=0)
    bad = [name for name, found in levels.items() if len(found) < most or len(set(found)) < len(found)]
    why = "an image is not there once in every quality"
    return [Finding("incomplete-tuple", why, len(bad), tuple(sorted(bad)[:5]))] if bad else []


def _pairs(table: pa.Table) -> list[Finding]:
    columns = ["image_id", "label", "pair_id", "cell", "split", "codec", "quality", "width", "height"]
    rows = table.select([*columns, "family"]).to_pylist()
    for row, origin in zip(rows, column_or_nulls(table, "origin"), strict=True):
        row["origin"] = origin
    if "tuple_id" in table.column_names:  # halves of one quality belong together
        for row, name in zip(rows, table.column("tuple_id").to_pylist(), strict=True):
            if name is not None and row["pair_id"] is not None:
                row["pair_id"] = (row["pair_id"], row["codec"], row["quality"])
    real = {row["pair_id"]: row for row in rows if row["label"] == 0 and row["pair_id"] is not None}
    lonely = [row["image_id"] for row in rows if row["label"] == 1 and row["pair_id"] not in real]
    out = []
    if lonely:
        out.append(Finding("no-real-half", "the pair has no real image", len(lonely), tuple(lonely[:5])))
    for column in ("cell", "origin", "split", "codec", "quality", "width", "height"):
        bad = [
            row["image_id"]
            for row in rows
            if row["label"] == 1
            and row["pair_id"] in real
            and row[column] != real[row["pair_id"]][column]
            and not (column == "origin" and row["family"] == "synthesis")
        ]
        if bad:
            out.append(
                Finding("pair-disagrees", f"{column} differs from the real half's", len(bad), tuple(bad[:5]))
            )
    return out
