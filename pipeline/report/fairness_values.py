"""Reading fairness reports (`evaluate/results.json`): figures, intervals, and why a figure is undefined."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pipeline.report.values import UNDEFINED, is_interval, is_number

KINDS = {"race": "perceived races", "gender": "perceived genders", "cell": "cells (race x gender)"}
WORTH_SHOWING = 0.01
"""Ties that can move a p by less are not spoken of."""
UTILITY = ("AUC", "EER", "ACC", "TPR", "FPR")
GAPS = ("F_FPR", "F_OAE", "F_DP", "F_MEO")
MEANING = {
    "AUC": "area under the ROC curve",
    "EER": "equal error rate",
    "ACC": "share of images called rightly",
    "TPR": "share of fakes called fake",
    "FPR": "share of real images called fake",
    "F_FPR": "largest difference of FPR between groups",
    "F_OAE": "largest difference of ACC between groups",
    "F_DP": "largest difference of the share called fake between groups",
    "F_MEO": "the larger of the differences of TPR and of FPR between groups",
}


def interval_of(entry: Mapping[str, Any], metric: str) -> tuple[float, float] | None:
    """The confidence interval of a figure, where the report has one: `intervals: {metric: [low, high]}`.

    None for one without width: every identity drawn again gave the same, so that it says nothing.
    """
    value = (entry.get("intervals") or {}).get(metric)
    return (float(value[0]), float(value[1])) if is_interval(value) and value[0] < value[1] else None


def value_of(entry: Mapping[str, Any], metric: str) -> float | None:
    """A figure, or None where it is undefined or absent."""
    value = entry.get(metric)
    return float(value) if is_number(value) else None


def reason_of(entry: Mapping[str, Any], metric: str) -> str:
    """Why a group's figure is undefined, out of its counts."""
    if metric in GAPS:
        used = entry.get("groups_used")
        return f"{used} groups could be used" if is_number(used) else UNDEFINED
    real, fake = entry.get("n_real"), entry.get("n_fake")
    if metric in ("TPR", "AUC", "EER") and fake == 0:
        return "no fake image in the group"
    if metric in ("FPR", "AUC", "EER") and real == 0:
        return "no real image in the group"
    return "no image in the group" if entry.get("n") == 0 else UNDEFINED


def chance_of(entry: Mapping[str, Any], metric: str) -> tuple[Any, Any, Any]:
    """Of a gap: its 95 % quantile if all groups were treated alike, how often chance reaches it, the
    detectable gap.
    """
    null = (entry.get("null") or {}).get(metric) or {}
    return null.get("p95"), null.get("p"), (entry.get("detectable") or {}).get(metric)


def ties_of(results: Mapping[str, Any]) -> str:
    """What a tie counted in the tests of these results, as a sentence."""
    ties = {str(entry.get("ties")) for entry in results["datasets"].values()}
    if ties == {"random"}:
        return (
            "Ties: a share of them counts, drawn once from the scores and the seed, half where no gap is"
            " found (ties = random)."
        )
    return "Ties: half of them count (ties = mid)."


def bounds_of(entry: Mapping[str, Any], metric: str) -> tuple[float, float] | None:
    """Of a gap: its p with no tie and with all ties counted, where they are a hundredth apart or more."""
    bounds = ((entry.get("null") or {}).get(metric) or {}).get("p_bounds")
    if not is_interval(bounds) or bounds[1] - bounds[0] < WORTH_SHOWING:
        return None
    return float(bounds[0]), float(bounds[1])


def not_estimable(entry: Mapping[str, Any]) -> list[str]:
    """What the report lists as undefined or left out, one sentence for each figure and reason."""
    found: dict[tuple[str, str, str], list[str]] = {}
    for item in entry.get("not_estimable") or []:
        key = (str(item["kind"]), ", ".join(item["figures"]), str(item["reason"]))
        found.setdefault(key, []).append(f"{item['group']} (n {item['n']})")
    return [
        f"{figures} by {kind}, {reason}: {', '.join(groups)}"
        for (kind, figures, reason), groups in found.items()
    ]
