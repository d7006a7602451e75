"""Cluster bootstrap: identities or videos are drawn with replacement, cell by cell, never single frames.

Frames of one video are not independent, so the unit that is drawn is the cluster (Cameron, Gelbach, Miller 2008;
Davison & Hinkley 1997, section 3.8). A replicate is a vector of counts, one per cluster: a rate is a ratio of two
weighted sums of per-cluster counts, so that a replicate costs one sparse product, however many rows there are.
Replicate b draws from its own seed: the same seed gives the same bits at any chunk size.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np
import numpy.typing as npt
from scipy import sparse

from detector.metrics import NAN, Floats, Labels
from manifests.errors import UsageError
from manifests.seeding import rng_of

CHUNK_VALUES = 4_000_000


@dataclass(frozen=True)
class Clusters:
    """Rows grouped into clusters, and clusters into strata.

    codes: int64 [N], the cluster of each row. strata: int64 [C], the stratum of each cluster. names: C ids, sorted.
    """

    codes: Labels
    strata: Labels
    names: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.names)


def encode(values: Sequence[str | None]) -> tuple[Labels, tuple[str, ...]]:
    """Codes int64 [N] into the sorted distinct names; None (unknown) is -1."""
    names = tuple(sorted({str(v) for v in values if v is not None}))
    at = {name: code for code, name in enumerate(names)}
    return np.array([-1 if v is None else at[str(v)] for v in values], np.int64), names


def make_clusters(
    ids: Sequence[str | None] | None, n: int, strata: Sequence[str | None] | None = None
) -> Clusters:
    """Clusters out of row ids and row strata.

    Args:
        ids: cluster of each row (identity or video); None for the whole: every row is its own cluster; None for a
            row: that row is its own cluster.
        n: number of rows.
        strata: stratum of each row (its cell). A cluster that spans several belongs to its commonest (the first by
            name of equals).

    Raises:
        UsageError: another number of ids or strata than rows.
    """
    for what, given in (("clusters", ids), ("strata", strata)):
        if given is not None and len(given) != n:
            raise UsageError(what, f"has {len(given)} entries for {n} rows", "give one per row")
    rows = [None] * n if ids is None else ids
    # Lone rows get names that sort by position and cannot meet a given id.
    codes, names = encode([f"row\0{k:012d}" if v is None else f"id\0{v}" for k, v in enumerate(rows)])
    stratum, kinds = encode([None] * n if strata is None else strata)
    counts = np.zeros((len(names), len(kinds) + 1), np.int64)
    np.add.at(counts, (codes, stratum), 1)  # -1 is the last column: unknown
    return Clusters(codes, counts.argmax(1).astype(np.int64), tuple(name.split("\0")[1] for name in names))


def draw(clusters: Clusters, seed: int, replicate: int) -> Floats:
    """How often each cluster is drawn in one replicate: float64 [C] of whole numbers; every stratum keeps its size."""
    order = np.argsort(clusters.strata, kind="stable")
    sizes = np.bincount(clusters.strata)
    starts = np.concatenate([[0], np.cumsum(sizes)[:-1]])
    stratum = clusters.strata[order]
    uniform = rng_of(seed, "cluster-bootstrap", replicate).random(len(order))
    picked = starts[stratum] + np.minimum((uniform * sizes[stratum]).astype(np.int64), sizes[stratum] - 1)
    counts = np.zeros(len(order))
    counts[order] = np.bincount(picked, minlength=len(order))
    return counts


def draws(clusters: Clusters, seed: int, replicates: int, width: int = 0) -> Iterator[Floats]:
    """All replicates in chunks: float64 [b, C]. `width`: values per replicate that the caller makes of each row."""
    chunk = max(1, CHUNK_VALUES // max(len(clusters), width, 1))
    for start in range(0, replicates, chunk):
        yield np.stack([draw(clusters, seed, b) for b in range(start, min(start + chunk, replicates))])


def sum_rows(codes: Labels, n_clusters: int, columns: Labels, values: Floats, n_columns: int) -> sparse.csr_array:
    """Per-cluster sums of row values: sparse float64 [C, n_columns].

    Args:
        codes: int64 [N], the cluster of each row.
        columns: int64 [N], the column a row adds to.
        values: float64 [N].
    """
    return sparse.coo_array((values, (codes, columns)), shape=(n_clusters, n_columns)).tocsr()


def replicate_sums(clusters: Clusters, sums: sparse.csr_array, seed: int, replicates: int) -> Floats:
    """Weighted column sums of every replicate: float64 [replicates, K] out of per-cluster sums [C, K].

    Sums of whole numbers are exact, so a figure does not depend on the order of addition.
    """
    turned = sums.T.tocsr()
    parts = [np.asarray(turned @ weights.T).T for weights in draws(clusters, seed, replicates)]
    return np.concatenate(parts) if parts else np.zeros((0, sums.shape[1]))


class RankedScores:
    """Rows sorted by score once, so that a weighted AUC is two cumulative sums."""

    def __init__(self, y_true: Labels, y_score: Floats) -> None:
        self.order = np.argsort(y_score, kind="stable")
        score = y_score[self.order]
        self.fake = y_true[self.order].astype(np.float64)
        self.start = np.searchsorted(score, score, "left")
        self.stop = np.searchsorted(score, score, "right")

    def auc(self, weights: Floats) -> Floats:
        """Weighted AUC of each replicate: float64 [B] out of row weights [B, N] in the rows' own order; NaN: one class.

        AUC = sum_i w_i (W_below(i) + W_tied(i) / 2) / (W_fake W_real), i over fakes and W over reals.
        """
        weights = weights[:, self.order]
        real = np.cumsum(weights * (1.0 - self.fake), axis=1)
        real = np.concatenate([np.zeros((len(weights), 1)), real], axis=1)
        fake = weights * self.fake
        above = np.sum(fake * (real[:, self.start] + real[:, self.stop]), axis=1) / 2
        pairs = fake.sum(1) * real[:, -1]
        return np.divide(above, pairs, out=np.full(len(weights), NAN), where=pairs > 0)


def replicate_auc(
    clusters: Clusters, y_true: Labels, y_score: Floats, member: npt.NDArray[np.bool_], seed: int, replicates: int
) -> Floats:
    """AUC of the rows in each group, replicate by replicate: float64 [replicates, G].

    Args:
        member: bool [G, N], which rows belong to each group.
    """
    ranked = [(rows, RankedScores(y_true[rows], y_score[rows])) for rows in map(np.flatnonzero, member)]
    parts = []
    for weights in draws(clusters, seed, replicates, len(y_true)):
        parts.append(np.stack([r.auc(weights[:, clusters.codes[rows]]) for rows, r in ranked], axis=1))
    return np.concatenate(parts) if parts else np.zeros((0, len(member)))


def interval(values: Floats, level: float = 0.95) -> tuple[float, float]:
    """Percentile interval of replicates [B]; NaN, NaN where fewer than half of them are defined."""
    kept = values[np.isfinite(values)]
    if not len(kept) or 2 * len(kept) < len(values):
        return NAN, NAN
    low, high = np.quantile(kept, [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)


def wilson(rate: float, n: int, level: float = 0.95) -> tuple[float, float]:
    """Wilson score interval of a rate seen in `n` independent units (Wilson 1927).

    Used where the bootstrap has no spread: a rate of 0 or 1 in every cluster says nothing of zero width.
    """
    if n <= 0 or np.isnan(rate):
        return NAN, NAN
    z = NormalDist().inv_cdf((1 + level) / 2)
    centre = (rate + z * z / (2 * n)) / (1 + z * z / n)
    half = z / (1 + z * z / n) * np.sqrt(rate * (1 - rate) / n + z * z / (4 * n * n))
    return float(max(0.0, centre - half)), float(min(1.0, centre + half))


def rate_interval(values: Floats, rate: float, n: int, level: float = 0.95) -> tuple[float, float]:
    """The percentile interval of a rate, or Wilson's over `n` clusters where all replicates agree."""
    low, high = interval(values, level)
    return wilson(rate, n, level) if low == high else (low, high)
