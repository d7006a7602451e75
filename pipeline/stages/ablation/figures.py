"""What an ablation says: figures of every variant over seeds, and the effect of each factor, with t
intervals.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from pipeline.stages.evaluate.scores import Scores

FIGURES = ("AUC", "F_FPR", "F_OAE", "F_DP", "F_MEO")
RATES = ("FPR", "TPR", "AUC")
"""What is said of each group."""
LEVEL = 0.95
PERMUTATIONS = 500


@dataclass(frozen=True)
class Measured:
    """What one detector comes to on one dataset; NaN where undefined.

    figures: those of `FIGURES`. groups: of each group those of `RATES`. chance: of F_FPR, the gap that 95 %
    of permuted groups stay below (`p95`), and how often they exceed what was found (`p`); empty where they
    were not permuted.
    """

    figures: dict[str, float]
    groups: dict[str, dict[str, float]]
    chance: dict[str, float]


def measure(scores: Scores, threshold: float, kind: str, min_n: int, permutations: int = 0) -> Measured:
    """AUC, the gaps between groups of one kind, and the groups' rates, at this threshold.

    Args:
        scores: of the images of one dataset.
        threshold: a score from which on an image is called fake.
        kind: of the groups.
        min_n: fewest identities of a group in a gap.
        permutations: of groups, for the gap that chance makes; 0: none.
    """
    from detector import fairness

    report = fairness.report(
        scores.label,
        scores.score,
        {kind: scores.groups[kind]},
        scores.clusters,
        threshold=threshold,
        min_n=min_n,
        replicates=permutations,
    )
    gaps = report.gaps[kind]
    groups = {
        name: {rate: float("nan") if row.get(rate) is None else float(row[rate]) for rate in RATES}
        for name, row in report.groups[kind].items()
    }
    null = gaps.get("null", {}).get("F_FPR", {}) if permutations else {}
    return Measured(
        {"AUC": float(report.utility["AUC"]), **{name: float(gaps[name]) for name in FIGURES[1:]}},
        groups,
        {name: float(null[name]) for name in ("p95", "p") if null.get(name) is not None},
    )


def groups_over_seeds(measured: Mapping[int, Measured]) -> dict[str, dict[str, dict[str, Any]]]:
    """Of each group its rates as means over seeds with intervals.

    Args:
        measured: by seed.
    """
    groups = sorted({group for one in measured.values() for group in one.groups})
    missing = dict.fromkeys(RATES, float("nan"))
    return {
        group: {
            rate: t_interval([one.groups.get(group, missing)[rate] for one in measured.values()])
            for rate in RATES
        }
        for group in groups
    }


def t_interval(values: Sequence[float], least: float = 0.0) -> dict[str, Any]:
    """Mean, its interval by Student's t over the values, and their number; None where undefined or without
    spread known.

    With 3 seeds the t quantile is 4.3: the interval is wide, and says so. It ends where the figure does,
    which takes nothing of its coverage away.

    Args:
        values: one of each seed; NaN where undefined.
        least: what no value can be below; none can be above 1.
    """
    from scipy import stats

    known = np.array([value for value in values if math.isfinite(value)], np.float64)
    if not len(known):
        return {"mean": None, "low": None, "high": None, "n": 0}
    mean = float(known.mean())
    if len(known) < 2:
        return {"mean": mean, "low": None, "high": None, "n": 1}
    half = float(stats.t.ppf((1 + LEVEL) / 2, len(known) - 1) * known.std(ddof=1) / math.sqrt(len(known)))
    return {"mean": mean, "low": max(mean - half, least), "high": min(mean + half, 1.0), "n": len(known)}


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
                ],
                least=-1.0,
            )
            for figure in FIGURES
        }
    return out
