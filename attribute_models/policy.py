"""Verification policy: per cell, how confident a model must be before its word is taken.

A face is accepted as a cell when its race and gender probabilities multiply to at least the cell's `threshold` and its
best race leads the second by at least `margin`; otherwise the policy abstains. Both are chosen on one half of labelled
data so that a lower bound of the precision reaches a target; precision is then reported on the other half.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from attribute_models.evaluation import Judged, cells_of
from manifests.errors import UsageError
from manifests.proportions import share, wilson
from manifests.seeding import seed_of
from manifests.taxonomy import Taxonomy

MARGINS = (0.0, 0.2, 0.4, 0.6)
GUARD = 0.5
"""Level of the interval whose lower end must reach the target when choosing: what is picked as best looks too good."""
MIN_KEPT = 10


@dataclass(frozen=True)
class CellRule:
    """threshold: of race times gender probability. margin: between the best two races. reached: whether the target was."""

    threshold: float
    margin: float
    reached: bool = True


@dataclass(frozen=True)
class Policy:
    """A rule per cell of a taxonomy. confusion: rows true cells, columns accepted as; None where it was not measured.

    second_model: name of a model that must see the same cell; empty for none.
    """

    taxonomy: str
    rules: Mapping[str, CellRule]
    confusion: tuple[tuple[int, ...], ...] | None = None
    second_model: str = ""
    facts: Mapping[str, Any] = field(default_factory=dict)

    def accepts(self, cell: str, race: npt.NDArray[np.floating], gender: npt.NDArray[np.floating]) -> bool:
        """Whether probabilities (float [races], float [genders]) suffice to take the face as `cell`."""
        rule = self.rules.get(cell)
        if rule is None:
            raise UsageError(f"cell {cell!r}", "has no rule in the policy", "make a policy for this taxonomy")
        confidence, margin = scores(np.asarray(race)[None], np.asarray(gender)[None])
        return bool(confidence[0] >= rule.threshold and margin[0] >= rule.margin)


def scores(
    race: npt.NDArray[np.floating], gender: npt.NDArray[np.floating],
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Confidence (best race times best gender) and margin (best race minus second): float64 [N] each."""
    ordered = np.sort(np.asarray(race, np.float64), axis=1)
    return ordered[:, -1] * np.asarray(gender, np.float64).max(1), ordered[:, -1] - ordered[:, -2]


def halves(keys: Sequence[str], seed: int) -> npt.NDArray[np.bool_]:
    """Which faces choose (True), the others report; by a hash of the key, so a face's side never depends on the others."""
    return np.array([seed_of(seed, "policy-half", key) % 2 == 0 for key in keys], bool)


def _rule(
    confidence: npt.NDArray[np.float64], margin: npt.NDArray[np.float64], right: npt.NDArray[np.bool_], target: float,
) -> CellRule:
    """The rule with the largest coverage whose guarded precision reaches the target, or the best that there is."""
    best: tuple[tuple[bool, float, int], CellRule] | None = None
    for least in MARGINS:
        inside = margin >= least
        order = np.argsort(-confidence[inside], kind="stable")
        sorted_confidence, hits = confidence[inside][order], np.cumsum(right[inside][order])
        for kept in range(MIN_KEPT, len(order) + 1):
            if kept < len(order) and sorted_confidence[kept] == sorted_confidence[kept - 1]:
                continue
            lower = wilson(int(hits[kept - 1]), kept, GUARD)[0]
            reached = lower >= target
            rank = (reached, float(kept) if reached else lower, kept)
            if best is None or rank > best[0]:
                best = rank, CellRule(float(np.floor(sorted_confidence[kept - 1] * 1e4) / 1e4), least, reached)
    return best[1] if best else CellRule(1.01, 0.0, False)


def _accepted(judged: Judged, taxonomy: Taxonomy, policy: Policy, agree: npt.NDArray[np.bool_]) -> npt.NDArray[np.bool_]:
    _, predicted = cells_of(judged, taxonomy)
    confidence, margin = scores(judged.prob["race"], judged.prob["gender"])
    rules = [policy.rules[cell] for cell in taxonomy.cells]
    threshold, least = np.array([r.threshold for r in rules]), np.array([r.margin for r in rules])
    return agree & (confidence >= threshold[predicted]) & (margin >= least[predicted])


def choose(
    judged: Judged, taxonomy: Taxonomy, target: float = 0.95, seed: int = 0, agree: npt.NDArray[np.bool_] | None = None,
    second_model: str = "",
) -> tuple[Policy, dict[str, Any]]:
    """A policy from one half of labelled faces, and its figures on the other half.

    Args:
        judged: faces with known race and gender. agree: bool [N], whether a second model sees the same cell.

    Returns:
        The policy, and a report: precision and coverage with intervals, over all and per cell (as accepted).

    Raises:
        UsageError: a target outside (0, 1), or fewer than 20 faces in a half.
    """
    if not 0 < target < 1:
        raise UsageError(f"--target {target}", "is not a precision", "give a share between 0 and 1, e.g. 0.95")
    agree = np.ones(len(judged), bool) if agree is None else agree
    known = cells_of(judged, taxonomy)[0] >= 0
    judged, agree = judged.subset(known), agree[known]
    first = halves(judged.keys, seed)
    if min(first.sum(), (~first).sum()) < 20:
        raise UsageError(f"{len(judged)} labelled faces", "are too few to choose thresholds on", "give at least a few hundred")
    true, predicted = cells_of(judged, taxonomy)
    confidence, margin = scores(judged.prob["race"], judged.prob["gender"])
    rules = {}
    for c, cell in enumerate(taxonomy.cells):
        mine = first & agree & (predicted == c)
        rules[cell] = _rule(confidence[mine], margin[mine], true[mine] == c, target)
    chosen = Policy(taxonomy.name, rules, None, second_model)
    other = judged.subset(~first)
    true, predicted = cells_of(other, taxonomy)
    accepted = _accepted(other, taxonomy, chosen, agree[~first])
    confusion = np.zeros((len(taxonomy.cells),) * 2, int)
    np.add.at(confusion, (true[accepted], predicted[accepted]), 1)
    report = {
        "precision": share(int(np.trace(confusion)), int(confusion.sum())), "coverage": share(int(accepted.sum()), len(other)),
        "without_policy": share(int((true == predicted).sum()), len(other)),
        "cells": {
            cell: {"precision": share(int(confusion[c, c]), int(confusion[:, c].sum())),
                   "coverage": share(int(accepted[true == c].sum()), int((true == c).sum()))}
            for c, cell in enumerate(taxonomy.cells)
        },
    }
    return Policy(taxonomy.name, rules, tuple(map(tuple, confusion.tolist())), second_model), report
