"""How many independent rows a rate rests on: rows of one identity or video resemble each other, and count for
fewer.

The design effect of a group is 1 + (m - 1) x rho: m the mean number of rows in the cluster of a row, rho the
intraclass correlation, estimated by analysis of variance over all groups together, since a single group has
too few clusters. Rows that stand alone keep their number exactly. Intervals are those of `rate_intervals`.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from detector.metrics.replicates import Floats, Ints, numbered

DENSE = 8
"""Pairs of a group and a cluster are counted in a table of all pairs up to so many times as large as the rows
are many.
"""
MOST_TOGETHER = 0.95
"""Largest correlation of FPR and TPR errors believed."""


@dataclass(frozen=True)
class Rates:
    """FPR (row 0) and TPR (row 1) of groups, with the evidence behind them.

    rate, rows: float64 [2, G, ...], rows effective; freedom: [2], degrees of freedom of the design effect,
    inf where every row stands alone; count: float64 [2, G, ...], rows as they are; together: [...],
    correlation of both errors in a cluster.
    """

    rate: Floats
    rows: Floats
    freedom: tuple[float, float]
    count: Floats
    together: Floats

    def combined(self) -> dict[str, tuple[Floats, Floats]]:
        """Rate and effective rows, [G, ...] each, of FPR, TPR, ACC, PR and PR_balanced; rate NaN where it is
        undefined.
        """
        (fpr, tpr), whole = self.rate, self.count.sum(0)
        with np.errstate(divide="ignore", invalid="ignore"):
            share = self.count / whole
            soft = (np.nan_to_num(self.rate) * self.rows + 0.5) / (self.rows + 1)
            error = np.where(share > 0, soft * (1 - soft) / self.rows, 0.0)
        out = {"FPR": (fpr, self.rows[0]), "TPR": (tpr, self.rows[1])}
        half = np.where(np.isfinite(self.rate).all(0), 0.5, np.nan)
        for name, weight, wrong in (
            ("ACC", share, True),
            ("PR", share, False),
            ("PR_balanced", np.stack([half, half]), False),
        ):
            signed = (-1 if wrong else 1) * self.together
            parts = [1 - self.rate[0] if wrong else fpr, tpr]
            value = sum(np.where(w > 0, w * part, 0 * w) for w, part in zip(weight, parts, strict=True))
            middle = weight[0] * (1 - soft[0] if wrong else soft[0]) + weight[1] * soft[1]
            variance = (weight**2 * error).sum(0) + 2 * signed * weight[0] * weight[1] * np.sqrt(
                error[0] * error[1]
            )
            with np.errstate(divide="ignore", invalid="ignore"):
                out[name] = value, middle * (1 - middle) / variance
        return out


def pairs_of(
    y: Ints, called: npt.NDArray[np.bool_], group: Ints, cluster: Ints
) -> tuple[Floats, Floats, Ints]:
    """Rows and rows called fake of every (group, cluster) that has any, by label: float64 [2, P] each, and
    the group int64 [P].

    group: int64 [N], -1 for rows without one (left out). Pairs are sorted by group.
    """
    kept = np.flatnonzero(group >= 0)
    n_cluster = int(cluster.max(initial=-1)) + 1
    code = group[kept] * n_cluster + cluster[kept]
    if code.max(initial=0) <= DENSE * len(code):
        place, first = numbered(code)
        codes = code[first]
    else:
        codes, place = np.unique(code, return_inverse=True)
    count, hits = np.zeros((2, len(codes))), np.zeros((2, len(codes)))
    for label in (0, 1):
        mine = y[kept] == label
        count[label] = np.bincount(place[mine], minlength=len(codes))
        hits[label] = np.bincount(place[mine & called[kept]], minlength=len(codes))
    return count, hits, codes // max(n_cluster, 1)


def group_sums(values: Floats, group: Ints, n_group: int) -> Floats:
    """Sums over the pairs of each group: [P, ...] to [G, ...]. group: sorted int64 [P]."""
    ends = np.searchsorted(group, np.arange(n_group + 1))
    running = np.concatenate([np.zeros((1, *values.shape[1:])), np.cumsum(values, axis=0)])
    return np.asarray(running[ends[1:]] - running[ends[:-1]])


def group_rates(count: Floats, hits: Floats, group: Ints, n_group: int) -> Rates:
    """Rates with their effective rows.

    Args:
        count: float64 [2, P, ...], rows of each pair of a group and a cluster, by label.
        hits: float64 [2, P, ...], those of them above the threshold.
        group: sorted int64 [P].
    """
    parts = [_one(m, x, group, n_group) for m, x in zip(count, hits, strict=True)]
    off = [x - m * np.nan_to_num(part[0])[group] for m, x, part in zip(count, hits, parts, strict=True)]
    spread = np.sqrt((off[0] ** 2).sum(0) * (off[1] ** 2).sum(0))
    together = np.clip(
        (off[0] * off[1]).sum(0) / np.where(spread > 0, spread, 1), -MOST_TOGETHER, MOST_TOGETHER
    )
    rate, rows, total = (np.stack([part[k] for part in parts]) for k in range(3))
    return Rates(rate, rows, (parts[0][3], parts[1][3]), total, together)


def _one(m: Floats, x: Floats, group: Ints, n_group: int) -> tuple[Floats, Floats, Floats, float]:
    """Rate, effective rows (1 where there is none) and rows of each group, and the degrees of freedom."""
    total = group_sums(m, group, n_group)
    with np.errstate(divide="ignore", invalid="ignore"):
        rate = group_sums(x, group, n_group) / total
    if m.max(initial=0) <= 1:
        return rate, np.maximum(total, 1), total, float("inf")
    squares = group_sums(m * m, group, n_group)
    kept = m > 0
    clusters, groups = kept.sum(0), (total > 0).sum(0)
    own = np.where(kept, x / np.maximum(m, 1), 0)
    between = (m * (own - np.nan_to_num(rate)[group]) ** 2).sum(0) / np.maximum(clusters - groups, 1)
    within = (x - x * own).sum(0) / np.maximum(total.sum(0) - clusters, 1)
    typical = (total.sum(0) - (squares / np.maximum(total, 1)).sum(0)) / np.maximum(clusters - groups, 1)
    spread = between + (typical - 1) * within
    rho = np.clip((between - within) / np.where(spread > 0, spread, 1), 0, 1)
    size = squares / np.maximum(total, 1)
    rows = np.maximum(total / (1 + np.maximum(size - 1, 0) * rho), 1)
    return rate, rows, total, float(np.maximum(np.min(clusters - groups), 1))


def stratified(rates: Floats, rows: Floats, weight: Floats) -> tuple[Floats, Floats]:
    """The weighted mean of strata's rates and the effective rows behind it: [G, ...] to [...]. Strata of
    weight 0 do not count.
    """
    share = weight / np.maximum(weight.sum(0), 1e-300)
    soft = (np.nan_to_num(rates) * rows + 0.5) / (rows + 1)
    rate, middle = (share * np.nan_to_num(rates)).sum(0), (share * soft).sum(0)
    variance = (share**2 * soft * (1 - soft) / rows).sum(0)
    return rate, middle * (1 - middle) / np.maximum(variance, 1e-300)
