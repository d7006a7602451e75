"""Which rows stand in which batch: a pure function of (seed, epoch), so that a killed run goes on where it
was.

Balanced: a unit is a real and a fake image of one cell (of one pair where the manifest says so); in each cell
the larger class is gone through once and the smaller repeated; the units of each cell are spread evenly over
the epoch. Stratified: every cell x method has as many units as the largest one, each spread evenly, so that a
batch holds as many of each as any other (give or take one), and half of it is real in every cell.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from manifests.seeding import rng_of

Indices = npt.NDArray[np.int64]


def _repeated(rows: Indices, count: int, rng: np.random.Generator) -> Indices:
    """`count` rows out of whole shuffled rounds: no row appears twice more often than another."""
    rounds = -(-count // len(rows))
    return np.concatenate([rng.permutation(rows) for _ in range(rounds)])[:count]


def _units(reals: Indices, fakes: Indices, partner: dict[int, int], rng: np.random.Generator) -> Indices:
    """Units of one cell: int64 [max(len(reals), len(fakes)), 2], real first."""
    count = max(len(reals), len(fakes))
    chosen = _repeated(fakes, count, rng)
    spare = iter(_repeated(reals, count, rng).tolist())
    return np.array([[partner[f] if f in partner else next(spare), f] for f in chosen.tolist()], np.int64)


def _partners(labels: Indices, cells: Indices, pair_ids: Sequence[str | None]) -> dict[int, int]:
    """Row of the real half for each fake row whose pair has one in the same cell."""
    real = {p: row for row, p in enumerate(pair_ids) if p is not None and labels[row] == 0}
    found = {
        row: real[p] for row, p in enumerate(pair_ids) if labels[row] == 1 and p is not None and p in real
    }
    return {fake: row for fake, row in found.items() if cells[fake] == cells[row]}


def balanced_epoch(
    labels: Indices,
    cells: Indices,
    pair_ids: Sequence[str | None],
    batch: int,
    seed: int,
    epoch: int,
    *,
    pairs: bool = True,
    methods: Indices | None = None,
) -> list[Indices]:
    """Batches of one epoch: each int64 [batch], half real and half fake in every cell's share of it.

    Cells without both classes give nothing. The last units that do not fill a batch are left out; which ones
    changes from epoch to epoch.

    Args:
        labels: 1 is fake.
        cells: any number per cell (-1, unknown, counts as a cell).
        batch: even.
        pair_ids: None where a row belongs to no pair.
        pairs: whether a fake comes with the real half of its pair.
        methods: a number per forgery method; given, batches are stratified by cell x method.
    """
    if methods is not None:
        return _stratified_epoch(labels, cells, pair_ids, methods, batch, seed, epoch, pairs)
    partner = _partners(labels, cells, pair_ids) if pairs else {}
    places, units = [], []
    for cell in np.unique(cells).tolist():
        rng = rng_of(seed, "sampler", epoch, cell)
        reals, fakes = (np.flatnonzero((cells == cell) & (labels == y)) for y in (0, 1))
        if len(reals) and len(fakes):
            own = _units(reals, fakes, partner, rng)
            units.append(own)
            places.append((np.arange(len(own)) + rng.random()) / len(own))
    order = np.argsort(np.concatenate(places), kind="stable")
    spread = np.concatenate(units)[order]
    half = batch // 2
    return [spread[k : k + half].ravel() for k in range(0, len(spread) - half + 1, half)]


def _stratified_epoch(
    labels: Indices,
    cells: Indices,
    pair_ids: Sequence[str | None],
    methods: Indices,
    batch: int,
    seed: int,
    epoch: int,
    pairs: bool,
) -> list[Indices]:
    partner = _partners(labels, cells, pair_ids) if pairs else {}
    strata = []
    for cell in np.unique(cells).tolist():
        reals = np.flatnonzero((cells == cell) & (labels == 0))
        fakes = np.flatnonzero((cells == cell) & (labels == 1))
        if len(reals):
            strata += [
                (cell, m, reals, fakes[methods[fakes] == m]) for m in np.unique(methods[fakes]).tolist()
            ]
    if not strata:
        return []
    count = max(len(own) for *_, own in strata)
    units, places = [], []
    shifts = rng_of(seed, "strata", epoch).permutation(len(strata)) / len(strata)
    for (cell, method, reals, own), shift in zip(strata, shifts, strict=True):
        rng = rng_of(seed, "sampler", epoch, cell, method)
        chosen, spare = _repeated(own, count, rng), _repeated(reals, count, rng)
        units.append(
            np.stack(
                [[partner.get(f, r) for f, r in zip(chosen.tolist(), spare.tolist(), strict=True)], chosen], 1
            )
        )
        places.append((np.arange(count) + shift) / count)
    spread = np.concatenate(units)[np.argsort(np.concatenate(places), kind="stable")]
    half = batch // 2
    return [spread[k : k + half].ravel() for k in range(0, len(spread) - half + 1, half)]


def shuffled_epoch(count: int, batch: int, seed: int, epoch: int) -> list[Indices]:
    """Batches of one epoch: every row at most once, in random order, whatever its label and cell."""
    order = rng_of(seed, "shuffle", epoch).permutation(count)
    return [order[k : k + batch] for k in range(0, count - batch + 1, batch)]
