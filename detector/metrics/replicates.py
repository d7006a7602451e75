"""Bootstrap over clusters (identities, videos) stratified by cell, and permutation of groups over clusters.

Frames of one video, or a real image and the fakes made of it, are not independent: whole clusters are drawn
again, in each stratum as many as there are. Rates become ratios of weighted sums;
`detector.metrics.resampling` sums them.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]
TIE = 1e-9
"""Gaps of shares that are nearer than this are equal."""


def indices(values: Iterable[object]) -> tuple[list[str], Ints]:
    """Distinct values as text in sorted order, and each row's index among them: int64 [N]."""
    rows = list(values)
    if not set(map(type, rows)) <= {str, type(None)}:  # 1 and True are equal, and have two texts
        rows = list(map(str, rows))
    texts = {value: str(value) for value in dict.fromkeys(rows)}
    names = sorted(set(texts.values()))
    number = {name: at for at, name in enumerate(names)}
    place = {value: number[text] for value, text in texts.items()}
    return names, np.fromiter(map(place.__getitem__, rows), np.int64, len(rows))


def numbered(codes: Ints) -> tuple[Ints, Ints]:
    """`numpy.unique` with inverse and first index, of whole numbers from 0 on that are not much more than
    their rows: by counting, without a sort.

    Args:
        codes: int64 [N], 0 or more.

    Returns:
        int64 [N], the place of each among those that there are; int64 [K], the first row of each of these.
    """
    there = np.bincount(codes) > 0
    own = (np.cumsum(there) - 1)[codes]
    first = np.empty(int(there.sum()), np.int64)
    first[own[::-1]] = np.arange(len(codes))[::-1]  # of several, what is written last stays
    return own, first


def cluster_counts(
    y: Ints, called: npt.NDArray[np.bool_], group: Ints, cluster: Ints, n_group: int
) -> Floats:
    """Sums per cluster and group of (real, fake, real called fake, fake called fake): float64 [C, G, 4].

    group: int64 [N], -1 for rows without a group (left out).
    """
    n_cluster = int(cluster.max(initial=-1)) + 1
    kept = group >= 0
    place, y, called = cluster[kept] * n_group + group[kept], y[kept], called[kept]
    parts = [y == 0, y == 1, (y == 0) & called, (y == 1) & called]
    columns = [np.bincount(place[part], minlength=n_cluster * n_group) for part in parts]
    return np.stack(columns, 1).astype(np.float64).reshape(n_cluster, n_group, 4)


def cluster_weights(
    stratum: Ints, replicates: int, rng: np.random.Generator, chunk: int = 100
) -> Iterator[Floats]:
    """How often each cluster is drawn, in pieces of at most `chunk` replicates: float64 [<=chunk, C].

    stratum: int64 [C], each cluster's stratum, -1 for one that is never drawn; the number of clusters drawn
    in a stratum is the number it has. Replicates are drawn one after another, so `chunk` does not change
    them.
    """
    places = [np.flatnonzero(stratum == s) for s in np.unique(stratum) if s >= 0]
    for start in range(0, replicates, chunk):
        weights = np.zeros((min(chunk, replicates - start), len(stratum)))
        for row in weights:
            for place in places:
                row[place] = np.bincount(rng.integers(0, len(place), len(place)), minlength=len(place))
        yield weights


def rates(counts: Floats) -> dict[str, Floats]:
    """ACC, TPR, FPR, PR and balanced PR of counts [..., 4]; NaN where the denominator is 0.

    PR_balanced = (TPR + FPR) / 2 is the share called fake if half of the group were fake.
    """
    real, fake, alarm, hit = (counts[..., k] for k in range(4))
    with np.errstate(divide="ignore", invalid="ignore"):
        tpr, fpr = hit / fake, alarm / real
        return {
            "ACC": (hit + real - alarm) / (real + fake),
            "TPR": tpr,
            "FPR": fpr,
            "PR": (hit + alarm) / (real + fake),
            "PR_balanced": (tpr + fpr) / 2,
        }


def permuted_counts(
    total: Floats,
    home: Ints,
    pattern: Ints,
    n_group: int,
    replicates: int,
    rng: np.random.Generator,
) -> Floats:
    """Counts per group after dealing the clusters' groups out anew: float64 [R, G, 4].

    A cluster keeps its sums and gets the group of another one of its pattern, so that a group keeps its
    number of clusters with reals, with fakes and with both: were labels dealt out too, the share of fakes
    would vary as it does not in the data.

    Args:
        total: float64 [C, 4], sums of each cluster.
        home: int64 [C], its group (-1: takes no part).
        pattern: int64 [C], which labels it holds.
    """
    out = np.zeros((replicates, n_group, 4))
    for name in np.unique(pattern[home >= 0]):
        mine = (home >= 0) & (pattern == name)
        kinds, kind = _kinds(total[mine])
        seats, many = np.bincount(home[mine], minlength=n_group), np.bincount(kind)
        if DRAW * len(kinds) * n_group < mine.sum():
            out += dealt_by_kind(kinds, many, seats, replicates, rng)
        else:
            out += _dealt_one_by_one(total[mine], home[mine], n_group, replicates, rng)
    return out


def _kinds(total: Floats) -> tuple[Floats, Ints]:
    """`numpy.unique` of rows of counts, float64 [N, 4], with inverse int64 [N].

    A row is one number where that is exact, which sorts faster.
    """
    sizes = [int(most) + 1 for most in total.max(0, initial=0)]
    if math.prod(sizes) >= 2**62:
        kinds, kind = np.unique(total, axis=0, return_inverse=True)
        return kinds, kind.ravel()
    places = np.ravel_multi_index(tuple(total.astype(np.int64).T), sizes)
    found, kind = np.unique(places, return_inverse=True)
    return np.stack(np.unravel_index(found, sizes), 1).astype(np.float64), kind


DRAW = 8
"""A hypergeometric number costs about as much as so many elements of a permutation."""


def _dealt_one_by_one(
    total: Floats, home: Ints, n_group: int, replicates: int, rng: np.random.Generator
) -> Floats:
    """Sums per group after permuting the groups of clusters: float64 [R, G, 4]."""
    out = np.zeros((replicates, n_group, 4))
    for dealt in out:
        drawn = rng.permutation(home)
        for k in range(4):
            dealt[:, k] = np.bincount(drawn, total[:, k], n_group)
    return out


def dealt_by_kind(
    kinds: Floats, many: Ints, seats: Ints, replicates: int, rng: np.random.Generator
) -> Floats:
    """The same where few sums differ: how many clusters of each kind a group gets is multivariate
    hypergeometric. Float64 [..., R, G, 4].

    Args:
        kinds: float64 [T, 4], the sums that there are.
        many: int64 [..., T], clusters that have them; several experiments are dealt at once.
        seats: int64 [G], clusters of each group; as many in all.
        replicates: R, deals of each experiment.
        rng: draws them.
    """
    shape = (*many.shape[:-1], replicates)
    out = np.zeros((*shape, len(seats), 4))
    free = np.tile(seats, (*shape, 1))
    for k, value in enumerate(kinds[:-1]):
        left = np.repeat(many[..., k, None], replicates, -1)
        for g in range(len(seats)):
            got = rng.hypergeometric(free[..., g], free[..., g + 1 :].sum(-1), left)
            out[..., g, :] += got[..., None] * value
            free[..., g] -= got
            left -= got
    return out + free[..., None] * kinds[-1]


def interval(samples: Floats, level: float = 0.95) -> tuple[float, float]:
    """Percentile interval of the finite samples; (NaN, NaN) when fewer than half are finite."""
    finite = samples[np.isfinite(samples)]
    if len(finite) < max(2, len(samples) / 2):
        return float("nan"), float("nan")
    low, high = np.quantile(finite, [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)
