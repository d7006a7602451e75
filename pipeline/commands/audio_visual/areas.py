"""AUC of each method's fakes against all real clips, with intervals by person: what a set of several
forgeries is asked first.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from detector.fairness import cluster_index, plain
from detector.metrics.auc_error import auc_error
from detector.metrics.effective_rows import group_rates, pairs_of
from detector.metrics.rate_intervals import rate_interval


def method_areas(rows: Sequence[Mapping[str, Any]], scorer: str, limit: float) -> dict[str, Any]:
    """`{method: {"AUC", "interval": [low, high], "called_real", "called_real_interval", "fakes", "real",
    "clusters"}}`, None where undefined.

    Args:
        rows: with `label`, `method`, `identity_id`, `video_id` and `scores` by scorer.
        scorer: one that all rows have.
        limit: score from which on a clip is called fake.

    A cluster is a person, else a clip: a real clip and the fakes made of it belong together.
    """
    real = [row for row in rows if row["label"] == 0]
    out: dict[str, Any] = {}
    for method in sorted({row["method"] or "unknown" for row in rows if row["label"] == 1}):
        fakes = [row for row in rows if row["label"] == 1 and (row["method"] or "unknown") == method]
        both = [*real, *fakes]
        y = np.repeat([0, 1], [len(real), len(fakes)])
        score = np.array([row["scores"][scorer] for row in both])
        cluster = cluster_index([row["identity_id"] or row["video_id"] for row in both], len(both))
        alone = np.zeros(len(both), np.int64)
        area = auc_error(y, score, cluster, alone)
        passed = group_rates(*pairs_of(y, score < limit, alone, cluster), 1)
        rate, weight = float(passed.rate[1, 0]), float(passed.rows[1, 0])
        out[method] = {
            "AUC": area.value,
            "interval": list(area.interval()),
            "called_real": rate,
            "called_real_interval": list(rate_interval(rate, weight, passed.freedom[1])),
            "fakes": len(fakes),
            "real": len(real),
            "clusters": len(np.unique(cluster)),
        }
    return dict(plain(out))
