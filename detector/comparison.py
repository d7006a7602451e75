"""Two detectors on the same rows: the difference of AUC, rates and every gap, with a paired cluster bootstrap.

In each replicate both detectors get the same clusters, so what makes a row hard for both cancels. The difference is
A - B; its interval is the percentile interval of the replicates, and p = 2 min(P(<= 0), P(>= 0)), each counted with one more
replicate, is how often resampling turns the sign.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from detector.fairness import cluster_index, gaps_of, group_index, plain, span
from detector.metrics import auc, called_fake, check_scores
from detector.replicates import Floats, Ints, cluster_counts, indices, interval, rates
from detector.resampling import bootstrap, home_groups, sorted_groups
from manifests.errors import UsageError
from manifests.seeding import rng_of

UTILITY = ("AUC", "ACC", "TPR", "FPR")
LEAST_REPLICATES = 2
"""Below, an interval has no ends."""


def _difference(a: float, b: float, drawn_a: Floats, drawn_b: Floats) -> dict[str, Any]:
    drawn = drawn_a - drawn_b
    finite = drawn[np.isfinite(drawn)]
    turned = min(int((finite <= 0).sum()), int((finite >= 0).sum()))
    p = min(1.0, 2 * (turned + 1) / (len(finite) + 1)) if len(finite) and np.isfinite(a - b) else np.nan
    return {"a": a, "b": b, "difference": a - b, "interval": interval(drawn), "p": p}


def _point(y: Ints, score: Floats, threshold: float, group: Ints, n_group: int) -> tuple[Floats, Floats]:
    """Counts [G, 4] and AUC [G] of every group as it stands."""
    counts = cluster_counts(y, called_fake(score, threshold), group, np.zeros_like(group), n_group)[0]
    areas = [auc(y[group == g], score[group == g]) for g in range(n_group)]
    return counts, np.array(areas)


def _both(
    y: Ints, scores: tuple[Floats, Floats], thresholds: tuple[float, float], cluster: Ints, group: Ints, n_group: int,
    stratum: Ints, replicates: int, rng: np.random.Generator,
) -> list[tuple[Floats, Floats, Floats, Floats]]:
    """Per detector: counts [G, 4], AUC [G], and their replicates [R, G, 4] and [R, G] under the same weights."""
    pair = list(zip(scores, thresholds, strict=True))
    groups = [g for score, limit in pair for g in sorted_groups(y, score, cluster, group, n_group, limit)]
    drawn = bootstrap(groups, stratum, replicates, rng)
    parts = (slice(0, n_group), slice(n_group, None))
    return [
        (*_point(y, score, limit, group, n_group), drawn.counts[:, part], drawn.auc[:, part])
        for (score, limit), part in zip(pair, parts, strict=True)
    ]


def compare(
    y_true: npt.ArrayLike, score_a: npt.ArrayLike, score_b: npt.ArrayLike, groups: Mapping[str, Sequence[str | None]],
    clusters: Sequence[str | None] | None = None, threshold_a: float = 0.5, threshold_b: float = 0.5, *, min_n: int = 5,
    replicates: int = 1000, seed: int = 0,
) -> dict[str, Any]:
    """Differences A - B on the same rows; arguments as `fairness.report`, gaps as its mode `corrected`.

    Returns:
        `{"n", "n_clusters", "utility": {figure: {a, b, difference, interval, p}}, "gaps": {kind: {gap: ...}}}`, None for what is
        undefined.

    Raises:
        UsageError: lengths differ, labels other than 0 and 1, scores that are not finite, fewer than `LEAST_REPLICATES`.
    """
    y, a = check_scores(y_true, score_a)
    b = check_scores(y_true, score_b)[1]
    if replicates < LEAST_REPLICATES:
        raise UsageError(f"{replicates} replicates", "give no interval", f"ask for {LEAST_REPLICATES} or more")
    for name, values in [*groups.items(), *([("clusters", clusters)] if clusters is not None else [])]:
        if len(values) != len(y):
            raise UsageError(f"{name}: {len(values)} values", f"for {len(y)} scores", "give one value per row")
    cluster, scores, limits = cluster_index(clusters, len(y)), (a, b), (threshold_a, threshold_b)
    finest = max(groups.values(), key=lambda values: len(set(values)), default=["all"] * len(y))
    names, finest_of_row = indices(finest)
    stratum, one = home_groups(finest_of_row, cluster, len(names)), np.zeros_like(cluster)
    both = _both(y, scores, limits, cluster, one, 1, stratum, replicates, rng_of(seed, "compare", "utility"))
    point = [{**rates(counts[0]), "AUC": area[0]} for counts, area, _, _ in both]
    drawn = [{**rates(counts[:, 0]), "AUC": area[:, 0]} for _, _, counts, area in both]
    out: dict[str, Any] = {
        "n": len(y), "n_clusters": int(cluster.max()) + 1, "gaps": {},
        "utility": {
            name: _difference(float(point[0][name]), float(point[1][name]), drawn[0][name], drawn[1][name]) for name in UTILITY
        },
    }
    for kind, values in groups.items():
        kind_names, group = group_index(values)
        home = home_groups(group, cluster, len(kind_names))
        size = np.array([len(np.unique(cluster[group == g])) for g in range(len(kind_names))])
        both = _both(y, scores, limits, cluster, group, len(kind_names), home, replicates, rng_of(seed, "compare", kind))
        used = size >= min_n
        point = [{**gaps_of(counts, used, "corrected"), "G_AUC": span(area, used)} for counts, area, _, _ in both]
        drawn = [{**gaps_of(counts, used, "corrected"), "G_AUC": span(area, used)} for _, _, counts, area in both]
        out["gaps"][kind] = {
            name: _difference(float(point[0][name]), float(point[1][name]), drawn[0][name], drawn[1][name]) for name in point[0]
        }
        out["gaps"][kind]["groups_used"] = int(used.sum())
    return dict(plain(out))
