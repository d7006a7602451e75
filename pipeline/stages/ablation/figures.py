"""What an ablation says: figures of every variant over seeds, and the effect of each factor, with t
intervals.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from pipeline.stages.evaluate.scores import Scores

FIGURES = ("AUC", "F_FPR", "F_OAE", "F_DP", "F_MEO")
LEVEL = 0.95


def figures_of(scores: Scores, threshold: float, kind: str, min_n: int) -> dict[str, float]:
    """AUC and the gaps between groups of one kind, at this threshold; NaN where undefined."""
    from detector import fairness

    report = fairness.report(
        scores.label,
        scores.score,
        {kind: scores.groups[kind]},
        scores.clusters,
        threshold=threshold,
        min_n=min_n,
        replicates=0,
    )
    gaps = report.gaps[kind]
    return {"AUC": float(report.utility["AUC"]), **{name: float(gaps[name]) for name in FIGURES[1:]}}


def t_interval(values: Sequence[float]) -> dict[str, Any]:
    """Mean, its interval by Student's t over the values, and their number; None where undefined or without
    spread known.

    With 3 seeds the t quantile is 4.3: the interval is wide, and says so.
    """
    from scipy import stats

    known = np.array([value for value in values if math.isfinite(value)], np.float64)
    if not len(known):
        return {"mean": None, "low": None, "high": None, "n": 0}
    mean = float(known.mean())
    if len(known) < 2:
        return {"mean": mean, "low": None, "high": None, "n": 1}
    half = float(stats.t.ppf((1 + LEVEL) / 2, len(known) - 1) * known.std(ddof=1) / math.sqrt(len(known)))
    return {"mean": mean, "low": mean - half, "high": mean + half, "n": len(known)}


def over_seeds(measured: Mapping[int, Mapping[str, float]]) -> dict[str, dict[str, Any]]:
    """Of each figure its mean over seeds with interval. measured: {seed: {figure: value}}."""
    return {name: t_interval([figures[name] for figures in measured.values()]) for name in FIGURES}


def effects(
    factors: Mapping[str, Mapping[str, str]],
    measured: Mapping[str, Mapping[int, Mapping[str, float]]],
) -> dict[str, dict[str, dict[str, Any]]]:
    """The main effect of each factor with two levels: the mean difference over pairs of variants alike in all
    other factors.

    Differences are taken within a seed, averaged over the pairs, then put over seeds: what a seed makes easy
    cancels.

    Args:
        factors: of each variant its level of every factor, `{"variant": {"data": "balanced", "optimizer":
            "sam"}}`; variants without factors take no part.
        measured: {variant: {seed: {figure: value}}}.

    Returns:
        {"data: balanced - unbalanced": {figure: {"mean", "low", "high", "n"}}}; the second level in the order
        of appearance less the first.
    """
    names = list(dict.fromkeys(name for levels in factors.values() for name in levels))
    out = {}
    for name in names:
        levels = list(dict.fromkeys(of[name] for of in factors.values() if name in of))
        if len(levels) != 2:
            continue
        low, high = levels
        others = {variant: {k: v for k, v in of.items() if k != name} for variant, of in factors.items()}
        pairs = [
            (a, b)
            for a in factors
            for b in factors
            if factors[a].get(name) == low and factors[b].get(name) == high and others[a] == others[b]
        ]
        if not pairs:
            continue
        seeds = sorted(set.intersection(*(set(measured[v]) for pair in pairs for v in pair)))
        out[f"{name}: {high} - {low}"] = {
            figure: t_interval(
                [
                    float(np.mean([measured[b][seed][figure] - measured[a][seed][figure] for a, b in pairs]))
                    for seed in seeds
                ]
            )
            for figure in FIGURES
        }
    return out
