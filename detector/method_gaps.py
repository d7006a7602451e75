"""Demographic parity inside each method: DPD per kind of image, and AADPD, their mean.

Demographic parity over all images together is confounded by which forgeries a group happens to have. So P(called fake) is
compared between groups among the real images alone, and among the fakes of each method alone (DPD of that method: the largest
difference between two groups); AADPD is the mean over {real, each forgery}.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from detector.fairness import cluster_index, group_index, plain, span
from detector.metrics import called_fake
from detector.replicates import Floats, cluster_counts, cluster_weights, indices, interval
from detector.resampling import check_pairs, home_groups
from manifests.errors import UsageError
from manifests.seeding import rng_of

REAL = "real"


def method_gaps(
    y_true: npt.ArrayLike, y_score: npt.ArrayLike, methods: Sequence[str | None], groups: Sequence[str | None],
    clusters: Sequence[str | None] | None = None, threshold: float = 0.5, *,
    min_n: int = 5, replicates: int = 500, seed: int = 0,
) -> dict[str, Any]:
    """DPD of the real images and of each method's fakes between groups, and AADPD.

    Args:
        y_true: int [N], 1 fake, 0 real. y_score: float [N]; called fake from `threshold` on.
        methods: what made each fake; of real images it does not count. None: an unknown method, one of its own.
        groups: the group of each row, None: takes no part. clusters: identity or video, the unit of the bootstrap.
        min_n: fewest clusters of a group among one method's images for it to take part there.
        replicates: of the bootstrap over clusters, stratified by group; 0 leaves intervals out.

    Returns:
        {"methods": {name: {"DPD", "rates": {group: P(called fake) or None}, "n_clusters": {group: n}}}, "AADPD",
        "n_methods": how many have a DPD, "interval": [low, high]}; None where fewer than two groups can be compared.

    Raises:
        UsageError: lengths differ; too many groups (`fairness.MOST_GROUPS`), or methods x groups x clusters
            (`resampling.MOST_PAIRS`).
    """
    y, score = np.asarray(y_true, np.int64), np.asarray(y_score, np.float64)
    if not len(y) == len(score) == len(methods) == len(groups):
        why = f"for {len(score)} scores, {len(methods)} methods and {len(groups)} groups"
        raise UsageError(f"{len(y)} labels", why, "give equally many")
    names, group = group_index(groups)
    kinds, method = indices([REAL if label == 0 else made or "unknown" for label, made in zip(y, methods, strict=True)])
    cluster = cluster_index(clusters, len(y))
    place = np.where(group >= 0, method * len(names) + group, -1)
    shape = (len(kinds), len(names))
    check_pairs(int(cluster.max(initial=-1)) + 1, shape[0] * shape[1])
    counts = cluster_counts(np.zeros_like(y), called_fake(score, threshold), place, cluster, shape[0] * shape[1])[..., [0, 2]]
    people = (counts[..., 0] > 0).sum(0).reshape(shape)
    used = people >= min_n

    def gaps(total: Floats) -> tuple[Floats, Floats, Floats]:
        total = total.reshape(*total.shape[:-2], *shape, 2)
        with np.errstate(divide="ignore", invalid="ignore"):
            share = total[..., 1] / total[..., 0]
        each = span(share, used)
        known = np.isfinite(each)
        mean = np.where(known.any(-1), np.where(known, each, 0).sum(-1) / np.maximum(known.sum(-1), 1), np.nan)
        return share, each, mean

    share, each, mean = gaps(counts.sum(0))
    out: dict[str, Any] = {
        "methods": {
            kind: {
                "DPD": float(each[m]), "rates": {name: float(share[m, g]) for g, name in enumerate(names)},
                "n_clusters": {name: int(people[m, g]) for g, name in enumerate(names)},
            }
            for m, kind in enumerate(kinds)
        },
        "AADPD": float(mean), "n_methods": int(np.isfinite(each).sum()),
    }
    if replicates:
        stratum = home_groups(group, cluster, len(names))
        flat = counts.reshape(len(counts), -1)
        drawn = [gaps((w @ flat).reshape(len(w), -1, 2))[2]
                 for w in cluster_weights(stratum, replicates, rng_of(seed, "fairness", "methods"))]
        out["interval"] = list(interval(np.concatenate(drawn)))
    return dict(plain(out))
