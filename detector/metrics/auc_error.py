"""The error of an AUC: DeLong's structural components, summed over clusters (Obuchowski, Biometrics 1997).

A fake's component is the share of reals that score below it, a real's the share of fakes above it (ties a
half). An AUC is to first order a sum over rows, hence over clusters, whose spread inside strata is its
variance. Strata are groups, and in them clusters with reals alone, with fakes alone and with both, since a
test set fixes how many there are of each.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from detector.metrics.rates import Labels
from detector.metrics.replicates import Floats, Ints, numbered


class AucError(NamedTuple):
    """AUC, its effective rows (value x (1 - value) / variance) and the degrees of freedom of the variance;
    NaN if undefined.

    freedom: one less than the clusters of the rarer class, whose spread is known worst.
    """

    value: float
    rows: float
    freedom: float


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
        return AucError(value, float("nan"), float("nan"))
    own, first = numbered(cluster)
    sums = np.bincount(own, parts)
    kinds = np.unique(stratum[first] * 4 + patterns(y, own, len(first)), return_inverse=True)[1]
    size = np.bincount(kinds)
    means = np.bincount(kinds, sums) / size
    off = np.where(size[kinds] > 1, sums - means[kinds], sums) ** 2
    variance = float((np.bincount(kinds, off) * np.where(size > 1, size / np.maximum(size - 1, 1), 1)).sum())
    rarer = min(int(np.count_nonzero(np.bincount(own[y == label]))) for label in (0, 1))
    rows = value * (1 - value) / variance if variance > 0 and 0 < value < 1 else float(rarer)
    return AucError(value, float(max(rows, 1.0)), float(max(rarer - 1, 1)))
