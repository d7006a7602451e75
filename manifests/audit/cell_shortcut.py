"""Audit `cells`: can trivial features of the files tell which cell an image is of? Among real images, and
among fakes, apart.

One small random forest for all cells at once, cross-validated by pair. The figure is the balanced accuracy, 1
/ cells by chance, with a bootstrap interval over pairs and beside it the 95 % quantile where cells are dealt
out anew among the pairs. That pixels tell the cell is no wonder, faces differ; that bytes or JPEG tables do
may be one (dark pictures are smaller files) and may mean that a cell was saved by other means. Where the two
labels disagree, one of them was: fakes of a cell saved otherwise than its real images. It fails nothing
unless `strict`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from pydantic import Field
from scipy.stats import rankdata
from sklearn.ensemble import RandomForestClassifier
from sklearn.model_selection import GroupKFold

from manifests.audit.base import AUDITS, AuditResult
from manifests.audit.shortcut import Floats, Ints, ShortcutAudit, ShortcutParams, shuffled_groups
from manifests.seeding import rng_of, seed_of
from manifests.watching import watched


class CellParams(ShortcutParams):
    """As of `shortcut`; `excess`: how far above chance the balanced accuracy of `file` features may be."""

    excess: float = Field(0.10, ge=0, le=1)


def balanced_accuracy(y: Ints, guess: Ints, weight: Floats) -> Floats:
    """Mean over classes of the share guessed rightly, under each row of weights: float64 [R]; classes without
    weight are left out.

    Args:
        y: int64 [N], true classes.
        guess: int64 [N].
        weight: float64 [R, N], how often each row counts.
    """
    parts = []
    for one in np.unique(y):
        mine = y == one
        total, right = weight[:, mine].sum(1), weight[:, mine & (guess == one)].sum(1)
        parts.append(np.where(total > 0, right / np.maximum(total, 1), np.nan))
    return np.asarray(np.nanmean(parts, axis=0))


def most_telling(x: Floats, y: Ints, names: Sequence[str]) -> tuple[str, float]:
    """The feature whose ranks differ most between classes, and the share of their variance that lies between
    them, in [0, 1].
    """
    best, name = 0.0, "none"
    for column, feature in enumerate(names):
        rank = rankdata(x[:, column])
        spread = rank.var()
        if spread == 0:
            continue
        between = sum((y == one).mean() * (rank[y == one].mean() - rank.mean()) ** 2 for one in np.unique(y))
        if between / spread > best:
            best, name = float(between / spread), feature
    return name, best


@AUDITS.register(
    "cells", family="shortcut", params=CellParams, paper="Smeu et al., CVPR 2025 (arXiv 2412.00175)"
)
class CellAudit(ShortcutAudit):
    """Which cell, from files and from pixels, among real images and among fakes."""

    name = "cells"
    params: CellParams

    def run(self, table: pa.Table, folder: Path, seed: int) -> AuditResult:
        rows = [row for row in table.select(list(self.columns)).to_pylist() if row["cell"]]
        rows = self._bounded(rows, seed)
        matrix = self.matrix(rows, folder)
        names = sorted({row["cell"] for row in rows})
        cell = np.array([names.index(row["cell"]) for row in rows], np.int64)
        group = shuffled_groups([self.group_of(row) for row in rows], seed)
        label = np.array([row["label"] for row in rows], np.int64)
        figures: dict[str, Any] = {}
        findings = []
        for word, one in watched([("real", 0), ("fake", 1)], "cells", "questions"):
            mine = label == one
            for kind in self.kinds:
                figure = self._which(matrix[mine], cell[mine], group[mine], kind, word, seed)
                figures[f"{word} ({kind})"] = figure
                if kind not in self.loose and figure["above_limit"]:
                    findings.append(
                        f"the cell of {word} images, {kind} features: balanced accuracy"
                        f" {figure['accuracy']:.3f} [{figure['low']:.3f}, {figure['high']:.3f}], chance"
                        f" {figure['chance']:.3f}, most telling {figure['feature']}"
                    )
        return AuditResult(
            name=self.name,
            passed=not (findings and self.params.strict),
            findings=tuple(findings),
            figures={
                "images": len(rows),
                "cells": len(names),
                "excess": self.params.excess,
                "which": figures,
            },
        )

    def _which(self, x: Floats, y: Ints, group: Ints, kind: str, word: str, seed: int) -> Mapping[str, Any]:
        names = self.kinds[kind]
        x = x[:, [self.features.index(name) for name in names]]
        classes, count = np.unique(y, return_counts=True)
        nothing = {
            "n": len(y),
            "accuracy": None,
            "low": None,
            "high": None,
            "chance": None,
            "by_chance": None,
            "feature": None,
            "share": None,
            "above_limit": False,
        }
        if (
            len(classes) < 2
            or count.min() < self.params.min_images / 4
            or len(np.unique(group)) < self.params.folds
        ):
            return {**nothing, "reason": f"too few {self.unit}"}
        guess = np.zeros_like(y)
        for train, test in GroupKFold(self.params.folds).split(x, y, group):
            model = RandomForestClassifier(
                60,
                min_samples_leaf=3,
                class_weight="balanced",
                random_state=seed_of(seed, "cells", word, kind) % 2**32,
                n_jobs=1,
            )
            guess[test] = model.fit(x[train], y[train]).predict(x[test])
        rng = rng_of(seed, "cells-bootstrap", word, kind)
        place = np.unique(group, return_inverse=True)[1].reshape(-1)
        n, r = int(place.max()) + 1, self.params.replicates
        drawn = np.array([np.bincount(rng.integers(n, size=n), minlength=n) for _ in range(r)], np.float64)[
            :, place
        ]
        low, high = np.quantile(balanced_accuracy(y, guess, drawn), [0.025, 0.975])
        home = y[np.unique(place, return_index=True)[1]]
        once = np.ones((1, len(y)))
        null = [balanced_accuracy(rng.permutation(home)[place], guess, once)[0] for _ in range(r)]
        found, chance = float(balanced_accuracy(y, guess, once)[0]), 1 / len(classes)
        by_chance = float(np.quantile(null, 0.95))
        feature, share = most_telling(x, y, names)
        above = found > chance + self.params.excess and found > by_chance and low > chance
        return {
            "n": len(y),
            "accuracy": round(found, 4),
            "low": round(float(low), 4),
            "high": round(float(high), 4),
            "chance": round(chance, 4),
            "by_chance": round(by_chance, 4),
            "feature": feature,
            "share": round(share, 4),
            "above_limit": bool(above),
        }
