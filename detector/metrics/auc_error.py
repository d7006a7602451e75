"""The error of an AUC: DeLong's structural components, summed over clusters (Obuchowski, Biometrics 1997).

A fake's component is the share of reals that score below it, a real's the share of fakes above it (ties a
half). An AUC is to first order a sum over rows, hence over clusters, whose spread inside strata is its
variance. Strata are groups, and in them clusters with reals alone, with fakes alone and with both, since a
test set fixes how many there are of each.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from detector.metrics.auc_interval import Classes, area_interval, placements, share_of
from detector.metrics.rates import Labels
from detector.metrics.replicates import Floats, Ints, numbered
from manifests.proportions import LEVEL

LEAST_TOGETHER = 0.05
"""Least share of the variance that is believed to be left where clusters have both classes."""


class AucError(NamedTuple):
    """AUC, its effective rows (value x (1 - value) / variance; NaN if undefined), and what its interval is
    made of.
    """

    value: float
    rows: float
    classes: Classes

    def interval(self, level: float = LEVEL) -> tuple[float, float]:
        """`auc_interval.area_interval`; (NaN, NaN) if undefined."""
        return area_interval(self.value, self.classes, level)


def components(y: Labels, score: Floats) -> tuple[float, Floats]:
    """The AUC and each row's centred part, float64 [N]: what it adds to the error; NaN without both
    classes.
    """
    fakes, reals = np.sort(score[y == 1]), np.sort(score[y == 0])
    if not len(fakes) or not len(reals):
        return float("nan"), np.full(len(y), np.nan)
    out = np.empty(len(y))
    for label, others in ((1, reals), (0, fakes)):
        rows = np.flatnonzero(y == label)
        rows = rows[
            np.argsort(score[rows])
        ]  # looked up in order, each finds the memory that the last one used
        mine = score[rows]
        below = (np.searchsorted(others, mine, "left") + np.searchsorted(others, mine, "right")) / (
            2 * len(others)
        )
        out[rows] = below if label else 1 - below
    value = float(out[y == 1].mean())
    return value, (out - value) / np.where(y == 1, len(fakes), len(reals))


def patterns(y: Labels, cluster: Ints, n_cluster: int) -> Ints:
    """Of each cluster: 1 with reals alone, 2 with fakes alone, 3 with both, 0 without a row; int64 [C]."""
    has_real, has_fake = (np.bincount(cluster[y == label], minlength=n_cluster) > 0 for label in (0, 1))
    return has_real + 2 * has_fake


def auc_error(y: Labels, score: Floats, cluster: Ints, stratum: Ints) -> AucError:
    """The AUC with its error. cluster, stratum: int64 [N]; a cluster counts with the stratum of its first
    row.

    An AUC of 0 or 1 has components without any spread: it counts as a share of the rarer class.
    """
    value, parts = components(y, score)
    if not np.isfinite(value):
        return AucError(value, float("nan"), Classes(1, 1))
    own, first = numbered(cluster)
    sums = np.bincount(own, parts)
    kinds = np.unique(stratum[first] * 4 + patterns(y, own, len(first)), return_inverse=True)[1]
    size = np.bincount(kinds)
    means = np.bincount(kinds, sums) / size
    off = np.where(size[kinds] > 1, sums - means[kinds], sums) ** 2
    variance = float((np.bincount(kinds, off) * np.where(size > 1, size / np.maximum(size - 1, 1), 1)).sum())
    rarer = min(int(np.count_nonzero(np.bincount(own[y == label]))) for label in (0, 1))
    rows = value * (1 - value) / variance if variance > 0 and 0 < value < 1 else float(rarer)
    return AucError(value, float(max(rows, 1.0)), _classes(value, y, parts, own, stratum[first]))


class _Class(NamedTuple):
    """One class's rows: how many, the variance of their components, that within strata as a share of it,
    clusters less strata, mean rows in the cluster of a row, and their likeness there with its weight.
    """

    rows: int
    spread: float
    within: float
    free: int
    size: float
    alike: float
    known: int


def _classes(value: float, y: Labels, parts: Floats, own: Ints, stratum: Ints) -> Classes:
    """Both classes' effective rows, and how the variance of the AUC differs from that of binormal classes."""
    kinds = np.unique(stratum, return_inverse=True)[1]
    sides = [_side(parts[y == label], own[y == label], kinds) for label in (1, 0)]
    known = sum(side.known for side in sides)
    alike = sum(side.known * side.alike for side in sides) / known if known else 0.0
    if sides[0].spread + sides[1].spread <= 0:
        alike = 1.0  # nothing says how like the rows of a cluster are
    fakes, reals = (max(side.rows / (1 + (side.size - 1) * alike), 1.0) for side in sides)
    share = share_of(value, sides[0].spread, sides[1].spread)
    model = placements(value, share)
    factor = max((sides[0].spread + sides[1].spread) / sum(model), 1.0) if sum(model) > 0 else 1.0
    errors = [part / rows for part, rows in zip(model, (fakes, reals), strict=True)]
    if sum(errors) > 0:
        factor *= sum(error * side.within for error, side in zip(errors, sides, strict=True)) / sum(errors)
    factor *= _together(y, parts, own, len(stratum))
    if len(own) == len(stratum):
        return Classes(fakes, reals, share, factor)
    errors = errors if sum(errors) > 0 else [1 / fakes, 1 / reals]
    freedom = sum(errors) ** 2 / sum(error**2 / side.free for error, side in zip(errors, sides, strict=True))
    return Classes(fakes, reals, share, factor, max(freedom, 1.0))


def _side(parts: Floats, own: Ints, kinds: Ints) -> _Class:
    """One class of `_classes`, by analysis of variance of its components over clusters inside strata."""
    n, kind = len(parts), kinds[own]
    off = parts * n
    many = np.bincount(kind, minlength=int(kinds.max()) + 1)
    strata = int((many > 0).sum())
    inside = off - (np.bincount(kind, off, len(many)) / np.maximum(many, 1))[kind]
    size = np.bincount(own)
    clusters, place = np.flatnonzero(size), numbered(own)[0]
    size = size[clusters]
    mean = np.bincount(place, inside) / size
    free, left = max(len(clusters) - strata, 1), n - len(clusters)
    spread = float((off**2).sum()) / max(n - 1, 1)
    within = float((inside**2).sum()) / max(n - strata, 1) / spread if spread > 0 and n > strata else 1.0
    alike, known, squares = 0.0, 0, size.astype(np.float64) ** 2
    if left and len(clusters) > strata:
        between = float((size * mean**2).sum()) / free
        rest = float(((inside - mean[place]) ** 2).sum()) / left
        of_strata = np.bincount(kinds[clusters], squares, len(many))
        typical = (n - float((of_strata / np.maximum(many, 1)).sum())) / free
        whole = between + (typical - 1) * rest
        alike, known = (float(np.clip((between - rest) / whole, 0, 1)) if whole > 0 else 0.0), free
    return _Class(n, spread, min(within, 1.0), free, float(squares.sum()) / n, alike, known)


def _together(y: Labels, parts: Floats, own: Ints, n_cluster: int) -> float:
    """By what the variance differs because clusters have rows of both classes; 1 where none has."""
    fakes, reals = (np.bincount(own[y == label], parts[y == label], n_cluster) for label in (1, 0))
    apart = float((fakes**2).sum() + (reals**2).sum())
    return max(1 + 2 * float((fakes * reals).sum()) / apart, LEAST_TOGETHER) if apart > 0 else 1.0
