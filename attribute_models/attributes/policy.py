"""Verification policy: per cell, how confident a model must be before its word is taken; else it abstains.

A face is accepted as a cell when the probabilities of its best classes (race, gender, and age where the
taxonomy has it) multiply to at least the cell's `threshold` and its best race leads the second by at least
`margin`. Both are chosen on one half of labelled data, for the largest coverage whose precision is at least
the target with probability `ASSURANCE` under the model of `attribute_models.attributes.precision`; the
precision delivered is then counted on the other half.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from attribute_models.attributes.evaluation import Judged, cells_of
from attribute_models.attributes.precision import Correctness, Floats, fit_correctness
from manifests.errors import UsageError
from manifests.proportions import share
from manifests.seeding import seed_of
from manifests.taxonomy import Taxonomy

MARGINS = (0.0, 0.2, 0.4, 0.6)
ASSURANCE = 0.9
MIN_KEPT = 10
MIN_HALF = 50
Mask = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class CellRule:
    """threshold: of the product of probabilities. margin: between the best two races. reached: whether the
    target was.
    """

    threshold: float
    margin: float
    reached: bool = True


@dataclass(frozen=True)
class Policy:
    """A rule per cell of a taxonomy.

    confusion: rows true cells, columns accepted as, counted on faces that did not choose the rules; None: not
    measured. second_model: a model that must see the same cell; empty for none. model: `label_source` of the
    model it was made for.
    """

    taxonomy: str
    rules: Mapping[str, CellRule]
    confusion: tuple[tuple[int, ...], ...] | None = None
    second_model: str = ""
    model: str = ""
    facts: Mapping[str, Any] = field(default_factory=dict)

    def accepts(self, cell: str, prob: Mapping[str, npt.NDArray[np.floating]]) -> bool:
        """Whether the probabilities of one face (axis -> float [classes]) suffice to take it as `cell`, its
        likeliest.

        Raises:
            UsageError: a cell without a rule.
        """
        rule = self.rules.get(cell)
        if rule is None:
            raise UsageError(f"cell {cell!r}", "has no rule in the policy", "make a policy for this taxonomy")
        confidence, margin = scores({axis: np.asarray(p)[None] for axis, p in prob.items()}, tuple(prob))
        return bool(confidence[0] >= rule.threshold and margin[0] >= rule.margin)


def scores(prob: Mapping[str, npt.NDArray[np.floating]], axes: Sequence[str]) -> tuple[Floats, Floats]:
    """Confidence (product of the best probabilities of `axes`) and margin (best race minus second): float64
    [N] each.
    """
    confidence = np.prod([np.asarray(prob[axis], np.float64).max(1) for axis in axes], axis=0)
    ordered = np.sort(np.asarray(prob["race"], np.float64), axis=1)
    return confidence, ordered[:, -1] - ordered[:, -2]


def halves(keys: Sequence[str], seed: int) -> Mask:
    """Which faces choose (True), the others report; by a hash of the key, so a face's side never depends on
    the others.
    """
    return np.array([seed_of(seed, "policy-half", key) % 2 == 0 for key in keys], bool)


@dataclass(frozen=True)
class _Faces:
    """What rules are chosen and judged by: a row per face with known true cell."""

    confidence: Floats
    margin: Floats
    true: npt.NDArray[np.int64]
    predicted: npt.NDArray[np.int64]
    agree: Mask

    def subset(self, rows: Mask) -> _Faces:
        return _Faces(
            self.confidence[rows], self.margin[rows], self.true[rows], self.predicted[rows], self.agree[rows]
        )


def _rule(faces: _Faces, model: Correctness, target: float) -> CellRule:
    """The rule with the largest coverage that reaches the target with `ASSURANCE`, or the surest that there
    is.
    """
    best: tuple[tuple[bool, float], CellRule] | None = None
    for least in MARGINS:
        mine = faces.subset(faces.margin >= least)
        order = np.argsort(-mine.confidence, kind="stable")
        confidence, count = mine.confidence[order], np.arange(1, len(order) + 1)
        right = model.probabilities(confidence, mine.margin[order], mine.predicted[order])
        precision: Any = (
            np.quantile(np.cumsum(right, axis=0) / count[:, None], 1 - ASSURANCE, axis=1)
            if len(order)
            else []
        )
        last_of_ties = np.r_[confidence[1:] < confidence[:-1], True][: len(order)]
        for k in np.flatnonzero(last_of_ties & (count >= MIN_KEPT)):
            reached = bool(precision[k] >= target)
            rank = (reached, float(count[k]) if reached else float(precision[k]))
            if best is None or rank > best[0]:
                best = rank, CellRule(float(np.floor(confidence[k] * 1e4) / 1e4), least, reached)
    return best[1] if best else CellRule(1.01, 0.0, False)


def _rules(faces: _Faces, taxonomy: Taxonomy, target: float, seed: int) -> dict[str, CellRule]:
    cells, faces = taxonomy.cells, faces.subset(faces.agree)
    model = fit_correctness(
        faces.confidence, faces.margin, faces.predicted, faces.true == faces.predicted, len(cells), seed
    )
    return {cell: _rule(faces.subset(faces.predicted == c), model, target) for c, cell in enumerate(cells)}


def _delivered(
    faces: _Faces, rules: Mapping[str, CellRule], cells: Sequence[str]
) -> tuple[npt.NDArray[np.int64], dict[str, Any]]:
    """Confusion of the accepted (rows true), and precision and coverage, over all and per cell."""
    threshold, least = (
        np.array([getattr(rules[cell], k) for cell in cells]) for k in ("threshold", "margin")
    )
    accepted = (
        faces.agree
        & (faces.confidence >= threshold[faces.predicted])
        & (faces.margin >= least[faces.predicted])
    )
    confusion = np.zeros((len(cells), len(cells)), np.int64)
    np.add.at(confusion, (faces.true[accepted], faces.predicted[accepted]), 1)
    right = faces.true == faces.predicted
    return confusion, {
        "precision": share(int(np.trace(confusion)), int(confusion.sum())),
        "coverage": share(int(accepted.sum()), len(accepted)),
        "without_policy": share(int(right.sum()), len(right)),
        "cells": {
            cell: {
                "precision": share(int(confusion[c, c]), int(confusion[:, c].sum())),
                "coverage": share(int(accepted[faces.true == c].sum()), int((faces.true == c).sum())),
            }
            for c, cell in enumerate(cells)
        },
    }


def choose(
    judged: Judged,
    taxonomy: Taxonomy,
    target: float = 0.95,
    seed: int = 0,
    agree: Mask | None = None,
    second_model: str = "",
    model: str = "",
) -> tuple[Policy, dict[str, Any]]:
    """A policy from one half of labelled faces, and its figures on the other half.

    Args:
        judged: faces with the axes of `taxonomy` as heads.
        agree: bool [N], whether a second model sees the same cell.

    Returns:
        The policy, and a report: precision and coverage with intervals, over all and per cell (as accepted);
        under `swapped` the same for the rules that the second half would choose, counted on the first, as a
        check of the method.

    Raises:
        UsageError: a target outside (0, 1), or fewer than 50 faces in a half.
    """
    if not 0 < target < 1:
        raise UsageError(
            f"--target {target}", "is not a precision", "give a share between 0 and 1, e.g. 0.95"
        )
    true, predicted = cells_of(judged, taxonomy)
    known = true >= 0
    all_agree = np.ones(len(judged), bool) if agree is None else agree
    faces = _Faces(*scores(judged.prob, tuple(taxonomy.axes)), true, predicted, all_agree).subset(known)
    first = halves([key for key, k in zip(judged.keys, known, strict=True) if k], seed)
    if min(first.sum(), (~first).sum()) < MIN_HALF:
        raise UsageError(
            f"{len(first)} labelled faces",
            "are too few to choose thresholds on",
            "give at least a few hundred",
        )
    one, other = faces.subset(first), faces.subset(~first)
    rules = _rules(one, taxonomy, target, seed)
    confusion, report = _delivered(other, rules, taxonomy.cells)
    _, swapped = _delivered(one, _rules(other, taxonomy, target, seed), taxonomy.cells)
    counts = tuple(tuple(int(n) for n in row) for row in confusion)
    return Policy(taxonomy.name, rules, counts, second_model, model), {**report, "swapped": swapped}
