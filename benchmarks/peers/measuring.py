"""Uncertainty of fairness figures: ours against fairlearn's bootstrap and against loops over scikit-learn."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from benchmarks.peers.timing import Comparison
from detector import fairness
from detector.metrics.replicates import cluster_weights
from detector.metrics.resampling import bootstrap, sorted_groups
from manifests.seeding import rng_of

GROUPS = 8


def rows(count: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Labels, scores and groups of so many rows: int64, float64, int64 [count]."""
    rng = rng_of(0, "peers", count)
    label, group = rng.integers(0, 2, count), rng.integers(0, GROUPS, count)
    return label, 1 / (1 + np.exp(-rng.normal(1.2 * label - 0.6, 1.0))), group


def fairlearn_bootstrap(count: int, replicates: int) -> Comparison:
    """Gaps of rates with intervals: `fairness.report` against `MetricFrame(n_boot=...)`.

    Ours also has a null for every gap, intervals of each group and of AUCs, and knows which rows belong
    together.
    """
    from fairlearn.metrics import MetricFrame, false_positive_rate, true_positive_rate
    from sklearn.metrics import accuracy_score

    label, score, group = rows(count)
    called = (score >= 0.5).astype(int)
    names = [f"g{one}" for one in group.tolist()]
    metrics = {"FPR": false_positive_rate, "TPR": true_positive_rate, "ACC": accuracy_score}
    features = pd.Series(names)

    def peer() -> Any:
        frame = MetricFrame(
            metrics=metrics,
            y_true=label,
            y_pred=called,
            sensitive_features=features,
            n_boot=replicates,
            ci_quantiles=[0.025, 0.975],
            random_state=0,
        )
        return frame.difference_ci()

    frame = MetricFrame(metrics=metrics, y_true=label, y_pred=called, sensitive_features=features)
    ours = fairness.report(label, score, {"cell": names}, replicates=0)
    apart = abs(float(frame.difference()["FPR"]) - ours.gaps["cell"]["F_FPR"])
    return Comparison(
        f"gaps with intervals, {count} rows",
        "fairlearn's MetricFrame, n_boot",
        replicates,
        50.0,
        lambda: fairness.report(label, score, {"cell": names}, replicates=replicates),
        peer,
        f"F_FPR differs by {apart:.1e}",
    )


def sklearn_loop(count: int, replicates: int) -> Comparison:
    """AUC of every group in every replicate: sorted once against `roc_auc_score` on every draw."""
    from sklearn.metrics import roc_auc_score

    label, score, group = rows(count)
    each = np.arange(count)
    once = np.zeros(count, np.int64)

    def ours() -> np.ndarray:
        ranked = sorted_groups(label, score, each, group, GROUPS, 0.5)
        return bootstrap(ranked, once, replicates, rng_of(0, "draws")).auc

    def peer() -> np.ndarray:
        out = np.empty((replicates, GROUPS))
        weights = (row for part in cluster_weights(once, replicates, rng_of(0, "draws")) for row in part)
        for k, weight in enumerate(weights):
            for g in range(GROUPS):
                mine = (group == g) & (weight > 0)
                out[k, g] = roc_auc_score(label[mine], score[mine], sample_weight=weight[mine])
        return out

    apart = float(np.abs(ours() - peer()).max())
    return Comparison(
        f"AUC of {GROUPS} groups, {count} rows",
        "loop over scikit-learn's roc_auc_score",
        replicates,
        2.0,
        ours,
        peer,
        f"AUCs differ by {apart:.1e}",
    )
