"""Bootstrap over clusters (identities, videos) stratified by cell, and permutation of groups over clusters. Vectorised.

Frames of one video, or a real image and the fakes made of it, are not independent: whole clusters are drawn again, in
each stratum as many as there are. Rates become ratios of weighted sums, so 1000 replicates cost two matrix products.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]


def indices(values: npt.ArrayLike) -> tuple[list[str], Ints]:
    """Distinct values in sorted order, and each row's index among them."""
    names, index = np.unique(np.asarray(values, dtype=str), return_inverse=True)
    return [str(name) for name in names], index.astype(np.int64).reshape(-1)


def cluster_counts(y: Ints, called: npt.NDArray[np.bool_], group: Ints, cluster: Ints, n_group: int) -> Floats:
    """Sums per cluster and group of (real, fake, real called fake, fake called fake): float64 [C, G, 4].

    group: int64 [N], -1 for rows without a group (left out).
    """
    out = np.zeros((int(cluster.max(initial=-1)) + 1, n_group, 4))
    kept = group >= 0
    values = np.stack([y == 0, y == 1, (y == 0) & called, (y == 1) & called], 1).astype(np.float64)
    np.add.at(out, (cluster[kept], group[kept]), values[kept])
    return out


def cluster_weights(stratum: Ints, replicates: int, rng: np.random.Generator, chunk: int = 100) -> Iterator[Floats]:
    """How often each cluster is drawn, in pieces of at most `chunk` replicates: float64 [<=chunk, C].

    stratum: int64 [C], each cluster's stratum; the number of clusters drawn in a stratum is the number it has.
    """
    places = [np.flatnonzero(stratum == s) for s in np.unique(stratum)]
    for start in range(0, replicates, chunk):
        rows = min(chunk, replicates - start)
        weights = np.zeros((rows, len(stratum)))
        for place in places:
            weights[:, place] = rng.multinomial(len(place), np.full(len(place), 1 / len(place)), size=rows)
        yield weights


def rates(counts: Floats) -> dict[str, Floats]:
    """ACC, TPR, FPR, PR and balanced PR of counts [..., 4]; NaN where the denominator is 0.

    PR_balanced = (TPR + FPR) / 2 is the share called fake if half of the group were fake.
    """
    real, fake, alarm, hit = (counts[..., k] for k in range(4))
    with np.errstate(divide="ignore", invalid="ignore"):
        tpr, fpr = hit / fake, alarm / real
        return {
            "ACC": (hit + real - alarm) / (real + fake), "TPR": tpr, "FPR": fpr, "PR": (hit + alarm) / (real + fake),
            "PR_balanced": (tpr + fpr) / 2,
        }


def weighted_auc(y: Ints, score: Floats, weights: Floats) -> Floats:
    """AUC under each row of weights, ties a half: y [N], score [N], weights float64 [R, N] -> float64 [R]."""
    order = np.argsort(score, kind="stable")
    y, score, weights = y[order], score[order], weights[:, order]
    starts = np.concatenate([[0], np.flatnonzero(np.diff(score)) + 1])
    real = np.add.reduceat(weights * (y == 0), starts, axis=1)
    fake = np.add.reduceat(weights * (y == 1), starts, axis=1)
    below = np.cumsum(real, axis=1) - real
    with np.errstate(divide="ignore", invalid="ignore"):
        return (fake * (below + real / 2)).sum(1) / (real.sum(1) * fake.sum(1))


def permuted_counts(counts: Floats, replicates: int, rng: np.random.Generator) -> Iterator[Floats]:
    """Counts per group after dealing the clusters' groups out anew: float64 [G, 4], `replicates` times.

    A cluster keeps its sums and gets the group of another, so group sizes (in clusters) stay. A cluster with rows in
    several groups is dealt by its largest.
    """
    total = counts.sum(1)
    home = (counts[..., 0] + counts[..., 1]).argmax(1)
    present = total[:, :2].sum(1) > 0
    total, home = total[present], home[present]
    for _ in range(replicates):
        out = np.zeros(counts.shape[1:])
        np.add.at(out, rng.permutation(home), total)
        yield out


def interval(samples: Floats, level: float = 0.95) -> tuple[float, float]:
    """Percentile interval of the finite samples; (NaN, NaN) when fewer than half are finite."""
    finite = samples[np.isfinite(samples)]
    if len(finite) < max(2, len(samples) / 2):
        return float("nan"), float("nan")
    low, high = np.quantile(finite, [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)
