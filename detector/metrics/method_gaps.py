"""Demographic parity inside each method: DPD per kind of image, and AADPD, their mean.

Demographic parity over all images together is confounded by which forgeries a group happens to have. So
P(called fake) is compared between groups among the real images alone, and among the fakes of each method
alone (DPD of that method: the largest difference between two groups); AADPD is the mean over {real, each
forgery}.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from detector.fairness import cluster_index, group_index, plain, span
from detector.metrics.effective_rows import group_rates, pairs_of
from detector.metrics.gap_intervals import Bools, GapInterval, invert, most
from detector.metrics.rates import called_fake
from detector.metrics.replicates import Floats, Ints, indices
from detector.metrics.resampling import check_pairs
from detector.metrics.ties import DEFAULT, Choice, Ties
from manifests.errors import UsageError
from manifests.seeding import rng_of

REAL = "real"


def method_gaps(
    y_true: npt.ArrayLike,
    y_score: npt.ArrayLike,
    methods: Sequence[str | None],
    groups: Sequence[str | None],
    clusters: Sequence[str | None] | None = None,
    threshold: float = 0.5,
    *,
    min_n: int = 5,
    replicates: int = 500,
    seed: int = 0,
    ties: Choice = DEFAULT,
) -> dict[str, Any]:
    """DPD of the real images and of each method's fakes between groups, and AADPD.

    Args:
        y_true: int [N], 1 fake, 0 real.
        y_score: float [N]; called fake from `threshold` on.
        methods: what made each fake; of real images it does not count. None: an unknown method, one of its
            own.
        groups: the group of each row, None: takes no part.
        clusters: identity or video, whose rows belong together.
        min_n: fewest clusters of a group among one method's images for it to take part there.
        replicates: data sets drawn for the interval (`gap_intervals`); 0 leaves it out.
        ties: what a tie counts in the interval: `mid` or `random` (`metrics.ties`).

    Returns:
        {"methods": {name: {"DPD", "rates": {group: P(called fake) or None}, "n_clusters": {group: n}}},
        "AADPD", "n_methods": how many have a DPD, "interval": [low, high], "corrected": AADPD without its
        upward bias}; None where fewer than two groups can be compared.

    Raises:
        UsageError: lengths differ; too many groups (`fairness.MOST_GROUPS`), or methods x groups x clusters
            (`resampling.MOST_PAIRS`).
    """
    y, score = np.asarray(y_true, np.int64), np.asarray(y_score, np.float64)
    if not len(y) == len(score) == len(methods) == len(groups):
        why = f"for {len(score)} scores, {len(methods)} methods and {len(groups)} groups"
        raise UsageError(f"{len(y)} labels", why, "give equally many")
    names, group = group_index(groups)
    made = np.array([*map({name: name or "unknown" for name in {*methods}}.get, methods)], object)
    made[y == 0] = REAL
    kinds, method = indices(made.tolist())
    cluster = cluster_index(clusters, len(y))
    place = np.where(group >= 0, method * len(names) + group, -1)
    shape = (len(kinds), len(names))
    check_pairs(int(cluster.max(initial=-1)) + 1, shape[0] * shape[1])
    count, hits, owner = pairs_of(np.zeros_like(y), called_fake(score, threshold), place, cluster)
    pairs = _Pairs(count[0], hits[0], *np.divmod(owner, shape[1]))
    people = np.bincount(owner, minlength=shape[0] * shape[1]).reshape(shape)
    used = people >= min_n

    total, called = (np.bincount(owner, part, shape[0] * shape[1]).reshape(shape) for part in pairs[:2])
    with np.errstate(divide="ignore", invalid="ignore"):
        share = called / total
    each = span(share, used)
    comparable = np.isfinite(each)
    mean = each[comparable].mean() if comparable.any() else np.nan
    out: dict[str, Any] = {
        "methods": {
            kind: {
                "DPD": float(each[m]),
                "rates": {name: float(share[m, g]) for g, name in enumerate(names)},
                "n_clusters": {name: int(people[m, g]) for g, name in enumerate(names)},
            }
            for m, kind in enumerate(kinds)
        },
        "AADPD": float(mean),
        "n_methods": int(np.isfinite(each).sum()),
    }
    if replicates:
        out["interval"], out["corrected"] = [np.nan, np.nan], np.nan
        if comparable.any():
            counted = Ties(ties, seed, y, score).share("AADPD", found=float(mean))
            found = _interval(pairs, used, comparable, replicates, seed, counted)
            out["interval"], out["corrected"] = [float(found.low), float(found.high)], float(found.estimate)
    return dict(plain(out))


class _Pairs(NamedTuple):
    """Of each cluster with rows of a method in a group: its rows there, those called fake, the method and the
    group; float64 and int64 [P]. Sorted by method, group and cluster.
    """

    rows: Floats
    hits: Floats
    method: Ints
    group: Ints


def _interval(
    pairs: _Pairs, used: Bools, comparable: Bools, replicates: int, seed: int, share: float
) -> GapInterval:
    """Of AADPD."""
    parts = []
    for m in np.flatnonzero(comparable):
        mine = slice(*np.searchsorted(pairs.method, (m, m + 1)))
        count, hits = pairs.rows[mine], pairs.hits[mine]
        parts.append(
            group_rates(
                np.stack([count, 0 * count]),
                np.stack([hits, 0 * hits]),
                pairs.group[mine],
                used.shape[1],
            )
        )
    values, rows = np.stack([part.rate[0] for part in parts]), np.stack([part.rows[0] for part in parts])
    known = used[comparable]

    def mean(figures: Floats) -> Floats:
        return np.asarray(sum(most(v[k]) for v, k in zip(figures, known, strict=True)) / len(known))

    return invert(
        np.where(known, values, 0.5),
        rows,
        known,
        mean,
        replicates,
        rng_of(seed, "fairness", "methods"),
        freedom=[part.freedom[0] for part in parts],
        ties=share,
    )
