"""Splits that share no identity: exact counts per cell, the same whatever the order of the input.

An identity is in one split with every image of it; identities tied by a forgery (target and source) stay
together.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Hashable, Iterable, Mapping, Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from manifests.columns import codes, places_in, where
from manifests.errors import UsageError
from manifests.schema import SPLITS, Finding
from manifests.seeding import seed_of


def largest_remainder(
    total: int, shares: Mapping[str, float], order: Sequence[str] = SPLITS
) -> dict[str, int]:
    """`total` divided by shares that sum to 1: whole numbers that sum to `total`; ties go to the earlier name
    of `order`.
    """
    names = [name for name in order if shares.get(name, 0) > 0]
    exact = {name: total * shares[name] for name in names}
    counts = {name: int(exact[name] + 1e-9) for name in names}
    # rounded: 0.7 x 45 is 31.499999999999996, which is a tie with the 4.5 of 0.1 x 45
    first = sorted(names, key=lambda name: -round(exact[name] - counts[name], 9))
    for name in first[: total - sum(counts.values())]:
        counts[name] += 1
    return counts


def assign_splits(
    identity_ids: Sequence[str],
    cells: Sequence[str | None],
    shares: Mapping[str, float],
    *,
    seed: int,
) -> list[str]:
    """A split for each image, by its identity: in every cell the same shares of identities, by largest
    remainder.

    Args:
        identity_ids: one per image; images of one identity get one split.
        cells: one per image. An identity with images in several cells counts for the first by name.
        shares: split -> share, summing to 1; names among train, val, test.
        seed: of the run. Who goes where depends on the seed and the identity's id, never on the order of the
            input.

    Raises:
        UsageError: lengths differ, unknown split names, or shares that do not sum to 1.
    """
    if len(identity_ids) != len(cells):
        raise UsageError(
            f"{len(identity_ids)} identities", f"with {len(cells)} cells", "give one cell per image"
        )
    if set(shares) - set(SPLITS) or abs(sum(shares.values()) - 1) > 1e-6:
        raise UsageError(
            f"split shares {dict(shares)}", "do not sum to 1 over train, val, test", "mend the shares"
        )
    home: dict[str, str] = {}
    for identity, cell in zip(identity_ids, cells, strict=True):
        home[identity] = min(home.get(identity, cell or ""), cell or "")
    by_cell: dict[str, list[str]] = defaultdict(list)
    for identity, cell in home.items():
        by_cell[cell].append(identity)
    split_of: dict[str, str] = {}
    for found in by_cell.values():
        identities = sorted(found)
        drawn = np.array([seed_of(seed, "split", identity) for identity in identities], np.int64)
        ordered = [identities[k] for k in np.argsort(drawn, kind="stable").tolist()]
        at = 0
        for name, count in largest_remainder(len(ordered), shares).items():
            split_of |= dict.fromkeys(ordered[at : at + count], name)
            at += count
    return [split_of[identity] for identity in identity_ids]


def connected_identities(edges: Iterable[tuple[Hashable, Hashable]]) -> dict[Hashable, Hashable]:
    """Union-find: each node's representative (the least of its component by `str`), for ties such as
    target-source.
    """
    parent: dict[Hashable, Hashable] = {}

    def root(node: Hashable) -> Hashable:
        parent.setdefault(node, node)
        while parent[node] != node:
            parent[node] = parent[parent[node]]
            node = parent[node]
        return node

    for left, right in edges:
        a, b = sorted((root(left), root(right)), key=str)
        parent[b] = a
    return {node: root(node) for node in list(parent)}


def leaks(table: pa.Table) -> list[Finding]:
    """Identities found in two splits: an image's own, its target's, source's or driver's, or its pair's.

    Returns one finding per kind of tie; `ids` are image_ids.
    """
    out = []
    split = table["split"]
    for key in ("identity_id", "pair_id"):
        known = (
            table.select([key, "split"]).drop_null().group_by(key).aggregate([("split", "count_distinct")])
        )
        several = known.filter(pc.greater(known["split_count_distinct"], 1))[key]
        if len(several):
            count, ids = where(table, pc.is_in(table[key], value_set=several.combine_chunks()).to_numpy())
            out.append(Finding(f"leak-{key.removesuffix('_id')}", f"{key} is in two splits", count, ids))
    own = codes(split)
    for key in ("target_id", "source_id", "driver_id"):
        place = places_in(table[key], table["image_id"])
        count, ids = where(table, (place >= 0) & (own[place] != own))
        if count:
            out.append(Finding(f"leak-{key.removesuffix('_id')}", f"{key} is of another split", count, ids))
    return out
