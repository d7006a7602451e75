"""Counterfactual score shift: how much a detector's score moves when only the cell of a face was asked to
change.

A counterfactual set is one draw of what all cells share, decoded under several cells
(`sample.counterfactual`). A detector that does not look at the cell gives all members one score. What a
generator changes along with the cell counts here too: the shift bounds the detector's dependence on the cell
from above, as far as that generator goes.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from detector.fairness import plain
from detector.metrics.replicates import interval
from manifests.errors import UsageError
from manifests.seeding import rng_of

REAL = "real"


def score_shift(
    y_true: npt.ArrayLike,
    y_score: npt.ArrayLike,
    sets: Sequence[str | None],
    cells: Sequence[str | None],
    methods: Sequence[str | None] | None = None,
    threshold: float = 0.5,
    *,
    replicates: int = 500,
    seed: int = 0,
) -> dict[str, Any] | None:
    """The shift within counterfactual sets, in units of the score; None where there is no set with two cells.

    Members are compared among the real images, and among the fakes of one method. A cell's score in a set is
    the mean over its images there.

    Args:
        y_true: int [N], 1 fake.
        y_score: float [N].
        sets: counterfactual_id or None, of each row.
        cells: of each row.
        methods: of each row; None: all fakes are of one.
        replicates: of the bootstrap over sets.

    Returns:
        mean_range: mean over sets of (highest - lowest) score, with `interval`; mean_difference: mean over
            sets of the mean
        absolute difference of two members; flips: share of sets whose members are not all called the same;
        n_sets;
        cells: {cell: {"shift": mean of the member's score less its set's mean, "interval", "n"}}.

    Raises:
        UsageError: lengths differ.
    """
    y, score = np.asarray(y_true, np.int64), np.asarray(y_score, np.float64)
    made = methods if methods is not None else [None] * len(y)
    if not len(y) == len(score) == len(sets) == len(cells) == len(made):
        why = f"for {len(score)} scores, {len(sets)} sets and {len(cells)} cells"
        raise UsageError(f"{len(y)} labels", why, "give equally many")
    found: dict[tuple[str, str], dict[str, list[float]]] = defaultdict(lambda: defaultdict(list))
    for label, value, name, cell, method in zip(y, score, sets, cells, made, strict=True):
        if name is not None and cell is not None:
            found[name, REAL if label == 0 else f"fake:{method}"][cell].append(float(value))
    whole = [(name, group) for (name, _), group in sorted(found.items()) if len(group) > 1]
    if not whole:
        return None
    owners = [name for name, _ in whole]
    members = [{cell: float(np.mean(values)) for cell, values in group.items()} for _, group in whole]
    values = [np.array(list(group.values())) for group in members]
    ranges = np.array([v.max() - v.min() for v in values])
    pairs = np.array([np.abs(v[:, None] - v[None])[np.triu_indices(len(v), 1)].mean() for v in values])
    flips = np.array([len(set(v >= threshold)) > 1 for v in values])
    rng = rng_of(seed, "fairness", "counterfactual")
    drawn = _draws(owners, replicates, rng)
    shifts: dict[str, dict[str, Any]] = {}
    for cell in sorted({cell for group in members for cell in group}):
        off = np.array(
            [group[cell] - np.mean(list(group.values())) if cell in group else np.nan for group in members]
        )
        shifts[cell] = {
            "shift": float(np.nanmean(off)),
            "interval": _interval(off, drawn),
            "n": int(np.isfinite(off).sum()),
        }
    return dict(
        plain(
            {
                "mean_range": float(ranges.mean()),
                "interval": _interval(ranges, drawn),
                "mean_difference": float(pairs.mean()),
                "flips": float(flips.mean()),
                "n_sets": len(set(owners)),
                "cells": shifts,
            }
        )
    )


def _draws(owners: Sequence[str], replicates: int, rng: np.random.Generator) -> npt.NDArray[np.float64]:
    """How often each group of members is drawn when whole sets are: float64 [replicates, groups]."""
    names = sorted(set(owners))
    own = np.array([names.index(owner) for owner in owners])
    times = (
        np.stack(
            [
                np.bincount(rng.integers(0, len(names), len(names)), minlength=len(names))
                for _ in range(replicates)
            ]
        )
        if replicates
        else np.zeros((0, len(names)))
    )
    return times[:, own].astype(np.float64)


def _interval(values: npt.NDArray[np.float64], drawn: npt.NDArray[np.float64]) -> list[float]:
    """Percentile interval of the mean of the finite values over the draws; [NaN, NaN] without draws."""
    if not len(drawn):
        return [float("nan")] * 2
    known = np.isfinite(values)
    weight = drawn[:, known]
    with np.errstate(divide="ignore", invalid="ignore"):
        return list(interval(weight @ values[known] / weight.sum(1)))
