"""Splits that share no identity: exact counts per cell, the same whatever the order of the input.

An identity is in one split with every image of it; identities tied by a forgery (target and source) stay
together.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Mapping, Sequence

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from manifests.columns import Places, codes, pieces, places_in, where
from manifests.errors import UsageError
from manifests.schema import SPLITS, Finding
from manifests.seeding import seeds_of


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
    people = pa.array(identity_ids, pa.string()).dictionary_encode()
    own = np.asarray(people.indices, np.int64)
    names = sorted({cell or "" for cell in cells})
    place = {name: k for k, name in enumerate(names)}
    home = np.full(len(people.dictionary), len(names))
    np.minimum.at(home, own, np.array([place[cell or ""] for cell in cells], np.int64))
    order = _drawn_order(people.dictionary, home, seed)
    split, at = np.empty(len(home), np.int64), 0
    for size in np.bincount(home, minlength=len(names)).tolist():
        for name, count in largest_remainder(size, shares).items():
            split[order[at : at + count]] = SPLITS.index(name)
            at += count
    found: list[str] = np.array(SPLITS, object)[split[own]].tolist()
    return found


def _drawn_order(people: pa.Array, home: Places, seed: int) -> Places:
    """Places of the identities, cell by cell, in the order drawn for their ids; the same draw: by id."""
    drawn = seeds_of(seed, "split", names=(name for part in pieces(people) for name in part.to_pylist()))
    order = np.lexsort((drawn, home))
    if not ((np.diff(drawn[order]) == 0) & (np.diff(home[order]) == 0)).any():
        return order
    by_name = np.asarray(pc.sort_indices(people), np.int64)
    return by_name[np.lexsort((drawn[by_name], home[by_name]))]


def connected_identities(edges: Iterable[tuple[Hashable, Hashable]]) -> dict[Hashable, Hashable]:
    """Each node's representative (the least of its component by `str`), for ties such as
    target-source.
    """
    number: dict[Hashable, int] = {}
    ends = [[number.setdefault(node, len(number)) for node in edge] for edge in edges]
    left, right = np.array(ends, np.int64).reshape(-1, 2).T
    least = np.arange(len(number))
    while (least[left] != least[right]).any():
        low = np.minimum(least[left], least[right])
        for side in (least[left], least[right]):
            np.minimum.at(least, side, low)
        while (least[least] != least).any():
            least = least[least]
    named: dict[int, Hashable] = {}
    of = least.tolist()
    for node, part in zip(number, of, strict=True):
        if part not in named or str(node) < str(named[part]):
            named[part] = node
    return {node: named[part] for node, part in zip(number, of, strict=True)}


def leaks(table: pa.Table) -> list[Finding]:
    """Identities found in two splits: an image's own, its target's, source's or driver's, or its pair's.

    Returns one finding per kind of tie; `ids` are image_ids.
    """
    out = []
    split = codes(table["split"])
    for key in ("identity_id", "pair_id"):
        own = codes(table[key])
        count, ids = where(table, _in_two_splits(own, split)[own])
        if count:
            out.append(Finding(f"leak-{key.removesuffix('_id')}", f"{key} is in two splits", count, ids))
    ties = ("target_id", "source_id", "driver_id")
    together = pa.chunked_array([chunk for key in ties for chunk in table[key].chunks], pa.string())
    for key, place in zip(ties, places_in(together, table["image_id"]).reshape(len(ties), -1), strict=True):
        count, ids = where(table, (place >= 0) & (split[place] != split))
        if count:
            out.append(Finding(f"leak-{key.removesuffix('_id')}", f"{key} is of another split", count, ids))
    return out


def _in_two_splits(own: Places, split: Places) -> npt.NDArray[np.bool_]:
    """Which values stand in several splits, by the code of the value; the last one, at -1, is that of null:
    in none.
    """
    known = np.flatnonzero((own >= 0) & (split >= 0))
    first = np.full(int(own.max(initial=-1)) + 2, -1)
    first[own[known]] = split[known]
    out = np.zeros(len(first), bool)
    out[own[known[split[known] != first[own[known]]]]] = True
    return out
