"""How good a race x gender x age model is on labelled faces: accuracy, confusion, calibration, per cell,
coverage.

All figures are of *perceived* attributes: agreement with annotators. Shares come with 95 % intervals.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from manifests.proportions import mean_of_shares, share
from manifests.taxonomy import Taxonomy

COVERAGES = (1.0, 0.9, 0.8, 0.7, 0.6, 0.5, 0.4, 0.3, 0.2, 0.1)


@dataclass(frozen=True)
class Judged:
    """Labelled faces with a model's probabilities. A label of -1 is unknown to the classes, and left out per
    head.

    classes: head -> names. prob: head -> float32 [N, C]. label: head -> int64 [N]. keys: N names of the
    faces.
    """

    classes: Mapping[str, tuple[str, ...]]
    prob: Mapping[str, npt.NDArray[np.float32]]
    label: Mapping[str, npt.NDArray[np.int64]]
    keys: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.keys)

    def subset(self, index: npt.NDArray[np.int64] | npt.NDArray[np.bool_]) -> Judged:
        """The faces of `index`."""
        places = np.arange(len(self))[index]
        return Judged(
            self.classes,
            {h: p[index] for h, p in self.prob.items()},
            {h: v[index] for h, v in self.label.items()},
            tuple(self.keys[k] for k in places),
        )


def coverage_curve(
    confidence: npt.NDArray[np.floating], right: npt.NDArray[np.bool_]
) -> list[dict[str, Any]]:
    """Accuracy of the most confident share, at several coverages: what abstaining buys."""
    order = np.argsort(-confidence, kind="stable")
    out = []
    for coverage in COVERAGES:
        kept = order[: max(1, round(coverage * len(order)))]
        out.append(
            {
                "coverage": coverage,
                "threshold": round(float(confidence[kept[-1]]), 4),
                "accuracy": share(int(right[kept].sum()), len(kept)),
            }
        )
    return out


def head_figures(
    prob: npt.NDArray[np.float32], label: npt.NDArray[np.int64], names: Sequence[str]
) -> dict[str, Any]:
    """The figures of one head: prob float32 [N, C], label int64 [N] (-1: unknown, left out)."""
    from nn.calibration import calibration_error  # brings torch, which a listing of models does without

    known = label >= 0
    prob, label = prob[known], label[known]
    if not len(label):
        return {"n": 0}
    top = prob.argmax(1)
    confusion = np.zeros((len(names), len(names)), int)
    np.add.at(confusion, (label, top), 1)
    hits = [(int(confusion[c, c]), int(confusion[c].sum())) for c in range(len(names))]
    return {
        "n": len(label),
        "accuracy": share(int((top == label).sum()), len(label)),
        "balanced_accuracy": mean_of_shares(hits),
        "recall": {name: share(*hit) for name, hit in zip(names, hits, strict=True)},
        "calibration_error": round(calibration_error(prob, label), 4),
        "confusion": {"classes": list(names), "counts": confusion.tolist()},
        "coverage": coverage_curve(prob.max(1), top == label),
    }


def cells_of(judged: Judged, taxonomy: Taxonomy) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """True and predicted cells, as indices into `taxonomy.cells`; -1 where a label is unknown. int64 [N]
    each.
    """
    true, predicted = np.zeros(len(judged), np.int64), np.zeros(len(judged), np.int64)
    known = np.ones(len(judged), bool)
    for axis, names in taxonomy.axes.items():
        known &= judged.label[axis] >= 0
        true = true * len(names) + judged.label[axis]
        predicted = predicted * len(names) + judged.prob[axis].argmax(1)
    return np.where(known, true, -1), predicted


def evaluate(judged: Judged, taxonomy: Taxonomy) -> dict[str, Any]:
    """Figures per head and per cell, and the confusion of cells (rows annotated, columns predicted).

    judged: with the axes of `taxonomy` as heads, in its words; `age` in the model's own bands where the
    taxonomy has none.
    """
    from nn.calibration import calibration_error  # brings torch, which a listing of models does without

    true, predicted = cells_of(judged, taxonomy)
    cells = {}
    for c, cell in enumerate(taxonomy.cells):
        mine = true == c
        right = {
            head: judged.prob[head][mine].argmax(1) == judged.label[head][mine] for head in ("race", "gender")
        }
        n = int(mine.sum())
        error = calibration_error(judged.prob["race"][mine], judged.label["race"][mine]) if n else None
        cells[cell] = {
            "n": n,
            "race_accuracy": share(int(right["race"].sum()), n),
            "gender_accuracy": share(int(right["gender"].sum()), n),
            "cell_accuracy": share(int((predicted[mine] == c).sum()), n),
            "race_calibration_error": None if error is None else round(error, 4),
        }
    known = true >= 0
    confusion = np.zeros((len(taxonomy.cells),) * 2, int)
    np.add.at(confusion, (true[known], predicted[known]), 1)
    return {
        "taxonomy": taxonomy.name,
        "n": len(judged),
        "heads": {
            head: head_figures(judged.prob[head], judged.label[head], names)
            for head, names in judged.classes.items()
        },
        "cells": cells,
        "confusion": {"cells": list(taxonomy.cells), "counts": confusion.tolist()},
    }
