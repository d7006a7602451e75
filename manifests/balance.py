"""Balance: in every split the same number of images in each cell x origin x label x method, and pairs whose
halves agree.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Callable, Mapping

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from manifests.columns import codes, places_in, where
from manifests.schema import Finding, first_levels, metadata_of, origin_counts
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
    if "tuple_id" not in table.column_names or table["tuple_id"].null_count == table.num_rows:
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


def _pair_keys(table: pa.Table) -> pa.ChunkedArray:
    """What the halves of a pair share: its id and, where images come in several qualities, the quality."""
    pairs = table["pair_id"]
    if "tuple_id" not in table.column_names or table["tuple_id"].null_count == table.num_rows:
        return pairs
    quality = pc.fill_null(pc.cast(table["quality"], pa.string()), "")
    whole = pc.binary_join_element_wise(pairs, pc.fill_null(table["codec"], ""), quality, "\0")
    return pc.if_else(pc.is_valid(table["tuple_id"]), whole, pairs)


def _pairs(table: pa.Table) -> list[Finding]:
    keys, label = _pair_keys(table), table["label"].to_numpy()
    real = np.flatnonzero((label == 0) & pc.is_valid(keys).to_numpy())[
        ::-1
    ]  # of several, the last one counts
    found = places_in(keys, keys.take(pa.array(real)))
    fake = label == 1
    out = []
    count, ids = where(table, fake & (found < 0))
    if count:
        out.append(Finding("no-real-half", "the pair has no real image", count, ids))
    paired = np.flatnonzero(fake & (found >= 0))
    half = real[found[paired]]
    generated = pc.fill_null(pc.equal(table["family"], "synthesis"), False).to_numpy()[paired]
    for column in ("cell", "origin", "split", "codec", "quality", "width", "height"):
        if column not in table.column_names:
            continue
        values = codes(table[column])
        bad = np.zeros(table.num_rows, bool)
        bad[paired] = (values[paired] != values[half]) & ~(generated & (column == "origin"))
        count, ids = where(table, bad)
        if count:
            out.append(Finding("pair-disagrees", f"{column} differs from the real half's", count, ids))
    return out
