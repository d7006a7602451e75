"""Figures of every group under weights on clusters: one gather and one running sum per replicate, in bounded
memory.

A replicate of the cluster bootstrap is a weight per cluster. The rows of a group, real and fake apart, are
sorted by score once; under new weights the counts at a threshold are ends of running sums, and the AUC is sum
over fakes of w x (weight of reals below + weight of reals at most) / 2, divided by both classes' weights
(Mann-Whitney with ties a half). Sums of whole numbers in float64 are exact, so the chunk does not change a
bit.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from detector.metrics.replicates import Floats, Ints, cluster_weights
from manifests.errors import UsageError

ELEMENTS = 1 << 20
"""Weights held at once, as replicates x max(rows, clusters): 8 MiB per array."""
MOST_REPLICATES = 256
MOST_PAIRS = 200_000_000
"""Clusters x groups: a table of them takes 1.6 GB."""


class Drawn(NamedTuple):
    """Replicates of all groups: counts float64 [R, G, 4] as `replicates.cluster_counts`, auc float64 [R,
    G].
    """

    counts: Floats
    auc: Floats


class SortedScores:
    """One group's rows sorted for weighted figures.

    y: int64 [N] 0 or 1; score: float64 [N]; cluster: int64 [N], the row's place among the weights; called
    fake from `threshold` on.
    """

    def __init__(self, y: Ints, score: Floats, cluster: Ints, threshold: float) -> None:
        kept = []
        self.clusters: list[Ints] = []
        self.first_called: list[int] = []
        for label in (0, 1):
            rows = np.flatnonzero(y == label)
            rows = rows[np.argsort(score[rows], kind="stable")]
            kept.append(score[rows])
            self.clusters.append(cluster[rows])
            self.first_called.append(int(np.searchsorted(kept[-1], threshold, "left")))
        self.below = np.searchsorted(kept[0], kept[1], "left")
        at_most = np.searchsorted(kept[0], kept[1], "right")
        self.at_most = None if np.array_equal(self.below, at_most) else at_most

    def figures(self, weights: Floats) -> tuple[Floats, Floats]:
        """Counts [R, 4] and AUC [R] under weights float64 [R, C]; the AUC is NaN where a class has no
        weight.
        """
        real = np.zeros((len(weights), len(self.clusters[0]) + 1))
        np.cumsum(weights[:, self.clusters[0]], axis=1, out=real[:, 1:])
        fake = weights[:, self.clusters[1]]
        reals, fakes = real[:, -1], fake.sum(1)
        counts = np.stack(
            [reals, fakes, reals - real[:, self.first_called[0]], fake[:, self.first_called[1] :].sum(1)], 1
        )
        wins = np.einsum("rf,rf->r", fake, real[:, self.below])
        if self.at_most is not None:
            wins = (wins + np.einsum("rf,rf->r", fake, real[:, self.at_most])) / 2
        with np.errstate(divide="ignore", invalid="ignore"):
            return counts, wins / (reals * fakes)


def sorted_groups(
    y: Ints, score: Floats, cluster: Ints, group: Ints, n_group: int, threshold: float
) -> list[SortedScores]:
    """`SortedScores` of every group; group int64 [N], -1 for rows that belong to none."""
    rows = [np.flatnonzero(group == g) for g in range(n_group)]
    return [SortedScores(y[at], score[at], cluster[at], threshold) for at in rows]


def chunk_of(n_rows: int, n_clusters: int) -> int:
    """How many replicates are held at once."""
    return int(np.clip(ELEMENTS // max(n_rows, n_clusters, 1), 1, MOST_REPLICATES))


def bootstrap(
    groups: list[SortedScores],
    stratum: Ints,
    replicates: int,
    rng: np.random.Generator,
    chunk: int | None = None,
) -> Drawn:
    """Replicates of every group's figures: clusters drawn again in each stratum
    (`replicates.cluster_weights`).

    stratum: int64 [C], -1 for clusters that take no part. `chunk` changes memory and speed, never a bit of
    the result.
    """
    rows = sum(len(part) for group in groups for part in group.clusters)
    chunk = chunk or chunk_of(rows, len(stratum))
    counts, areas = np.zeros((replicates, len(groups), 4)), np.full((replicates, len(groups)), np.nan)
    at = 0
    for weights in cluster_weights(stratum, replicates, rng, chunk):
        for g, group in enumerate(groups):
            counts[at : at + len(weights), g], areas[at : at + len(weights), g] = group.figures(weights)
        at += len(weights)
    return Drawn(counts, areas)


def check_pairs(n_cluster: int, n_group: int) -> None:
    """Whether a table of clusters by groups may be held.

    Raises:
        UsageError: it has more than `MOST_PAIRS` entries.
    """
    if n_cluster * n_group > MOST_PAIRS:
        raise UsageError(
            f"{n_group} groups by {n_cluster} clusters",
            f"are more than {MOST_PAIRS} pairs",
            "measure fewer groups at once, or fewer images",
        )


def home_groups(group: npt.NDArray[np.int64], cluster: Ints, n_group: int) -> Ints:
    """The group most rows of a cluster are in (the first of several), -1 for a cluster without any: int64
    [C].
    """
    n_cluster = int(cluster.max(initial=-1)) + 1
    check_pairs(n_cluster, n_group)
    kept = group >= 0
    rows = np.bincount(cluster[kept] * n_group + group[kept], minlength=n_cluster * n_group).reshape(
        n_cluster, n_group
    )
    return np.where(rows.sum(1) > 0, rows.argmax(1), -1) if n_group else np.full(n_cluster, -1)
