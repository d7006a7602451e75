"""Audit `shortcut`: can trivial features alone tell real from fake? Overall, per method, in each cell; and
the cell?

For each question a small random forest and a logistic regression, cross-validated by pair (both halves of a
pair stand in the same fold), on all file features and on all pixel features; and each feature alone. The
figure is the AUC of the pooled out-of-fold scores with a bootstrap interval over pairs. It is too high when
it is above the limit and its interval is above 0.5. The questions over all cells gate: those on `file`
features always, those on `pixel` features when `strict`. Inside one cell a set has few images, and among many
questions some exceed any limit by chance: those warn, and gate only where the whole interval is above the
limit of `file` features.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from pydantic import Field
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import GroupKFold
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from manifests.audit.base import AUDITS, AuditResult
from manifests.audit.features import FEATURES, FILE_FEATURES, PIXEL_FEATURES, feature_matrix
from manifests.containment import inside
from manifests.registry import Params
from manifests.seeding import rng_of, seed_of
from manifests.watching import watched

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]
KINDS = {"file": FILE_FEATURES, "pixel": PIXEL_FEATURES}


class ShortcutParams(Params):
    """Limits on the AUC; `max_images` per question (drawn by pair) bounds the time; `replicates` of the
    bootstrap.
    """

    file_limit: float = Field(0.60, ge=0.5, le=1.0)
    pixel_limit: float = Field(0.60, ge=0.5, le=1.0)
    strict: bool = False
    folds: int = Field(4, ge=2, le=20)
    max_images: int = Field(4000, ge=100)
    min_images: int = Field(24, ge=8)
    replicates: int = Field(200, ge=20)


def _models(seed: int) -> list[Any]:
    """The two judges; the better one counts."""
    return [
        make_pipeline(StandardScaler(), LogisticRegression(max_iter=500)),
        RandomForestClassifier(60, min_samples_leaf=3, random_state=seed % 2**32, n_jobs=1),
    ]


def out_of_fold(x: Floats, y: Ints, group: Ints, folds: int, seed: int) -> list[Floats]:
    """Scores of each judge for rows it was not trained on: float64 [N] per judge; folds never share a
    group.
    """
    out = []
    for model in _models(seed):
        scores = np.zeros(len(y))
        for train, test in GroupKFold(folds).split(x, y, group):
            if len(np.unique(y[train])) < 2:
                scores[test] = y[train].mean()
            else:
                scores[test] = model.fit(x[train], y[train]).predict_proba(x[test])[:, 1]
        out.append(scores)
    return out


def shuffled_groups(names: Sequence[str], seed: int) -> Ints:
    """A number for every row's group: int64 [N], in an order drawn from the seed.

    Folds take groups in the order of their numbers: in that of their names, every second one may be of one
    source.
    """
    known, place = np.unique(np.array(names, dtype=str), return_inverse=True)
    return np.asarray(rng_of(seed, "groups").permutation(len(known))[place.reshape(-1)], np.int64)


def weighted_aucs(y: Ints, score: Floats, weight: Floats) -> Floats:
    """The AUC of the scores under each row of weights: float64 [R]; NaN where a class has none.

    The share of pairs of a positive and a negative that are ranked rightly, ties counting half (Mann and
    Whitney, 1947).

    Args:
        y: int64 [N], 0 or 1.
        score: float64 [N].
        weight: float64 [R, N], how often each row counts.
    """
    order = np.argsort(score, kind="stable")
    ranked = score[order]
    starts = np.flatnonzero(np.r_[True, ranked[1:] != ranked[:-1]])
    positive, negative = (
        np.add.reduceat(weight[:, order] * (y[order] == label), starts, axis=1) for label in (1, 0)
    )
    below = np.cumsum(negative, axis=1) - negative / 2
    pairs = positive.sum(1) * negative.sum(1)
    return np.asarray(np.where(pairs > 0, (positive * below).sum(1) / np.maximum(pairs, 1), np.nan))


def auc_interval(
    y: Ints, score: Floats, group: Ints, replicates: int, rng: np.random.Generator
) -> tuple[float, float]:
    """95 % percentile interval of the AUC by a bootstrap over groups."""
    place = np.unique(group, return_inverse=True)[1].reshape(-1)
    groups = int(place.max()) + 1
    drawn = [np.bincount(rng.integers(groups, size=groups), minlength=groups) for _ in range(replicates)]
    values = weighted_aucs(y, score, np.array(drawn, np.float64)[:, place])
    low, high = np.nanquantile(values, [0.025, 0.975])
    return float(low), float(high)


def single_feature(x: Floats, y: Ints, names: tuple[str, ...]) -> tuple[str, float]:
    """The feature that ranks the classes best by itself, in either direction, and its AUC in [0.5, 1]."""
    best, name = 0.5, "none"
    for column, feature in enumerate(names):
        if np.ptp(x[:, column]) == 0:
            continue
        area = roc_auc_score(y, x[:, column])
        if max(area, 1 - area) > best:
            best, name = max(area, 1 - area), feature
    return name, float(best)


@AUDITS.register(
    "shortcut",
    family="shortcut",
    params=ShortcutParams,
    paper="Smeu et al., CVPR 2025 (arXiv 2412.00175); GenImage (arXiv 2306.08571)",
)
class ShortcutAudit:
    """Cheap classifiers on file and pixel features, for real/fake and for the cell."""

    name = "shortcut"
    unit = "images"
    features: tuple[str, ...] = FEATURES
    kinds: Mapping[str, tuple[str, ...]] = KINDS
    loose: tuple[str, ...] = ("pixel",)
    columns: tuple[str, ...] = ("image_id", "path", "label", "method", "cell", "pair_id")

    def __init__(self, params: ShortcutParams) -> None:
        self.params = params

    def group_of(self, row: Mapping[str, Any]) -> str:
        """What the folds never share."""
        return str(row["pair_id"] or row["image_id"])

    def matrix(self, rows: Sequence[Mapping[str, Any]], folder: Path) -> Floats:
        """The `features` of the rows' files: float64 [N, len(self.features)]."""
        return feature_matrix([inside(folder, row["path"]) for row in rows])

    def run(self, table: pa.Table, folder: Path, seed: int) -> AuditResult:
        rows = table.select(list(self.columns)).to_pylist()
        rows = self._bounded(rows, seed)
        matrix = self.matrix(rows, folder)
        label = np.array([row["label"] for row in rows], np.int64)
        names = [self.group_of(row) for row in rows]
        group = np.unique(np.array(names, dtype=str), return_inverse=True)[1].astype(np.int64).reshape(-1)
        everything = np.ones(len(rows), bool)
        questions = [("real or fake", everything, label)]
        methods = {
            f"real or {method}": method
            for method in sorted({row["method"] for row in rows if row["label"] == 1})
        }
        for question, method in methods.items():
            mask = np.array([row["label"] == 0 or row["method"] == method for row in rows])
            questions.append((question, mask, label))
        cells = sorted({row["cell"] for row in rows if row["cell"]})
        for cell in cells:
            mask = np.array([row["cell"] == cell for row in rows])
            questions.append((f"real or fake in {cell}", mask, label))
        for cell in cells if len(cells) > 1 else []:
            questions.append(
                (f"{cell} or another cell", label == 0, np.array([r["cell"] == cell for r in rows]) * 1)
            )
        figures: dict[str, Any] = {}
        findings: list[str] = []
        failed = False
        for question, mask, y in watched(questions, "shortcuts", "questions"):
            for kind in self.kinds:
                figure = self._answer(
                    matrix[mask], y[mask].astype(np.int64), group[mask], kind, question, seed
                )
                figures[f"{question} ({kind})"] = figure
                if figure["auc"] is None or not figure["above_limit"]:
                    continue
                inside_cell = question.startswith("real or fake in ") and figure["low"] > figure["limit"]
                gates = (
                    question == "real or fake"
                    or question in methods
                    or (inside_cell and kind not in self.loose)
                )
                findings.append(
                    f"{question}, {kind} features: AUC {figure['auc']:.3f} "
                    f"[{figure['low']:.3f}, {figure['high']:.3f}], most telling {figure['feature']} "
                    f"(alone {figure['feature_auc']:.3f})"
                )
                failed |= gates and (kind not in self.loose or self.params.strict)
        return AuditResult(
            name=self.name,
            passed=not failed,
            findings=tuple(findings),
            figures={
                self.unit: len(rows),
                "file_limit": self.params.file_limit,
                "pixel_limit": self.params.pixel_limit,
                "questions": figures,
            },
        )

    def _bounded(self, rows: list[dict[str, Any]], seed: int) -> list[dict[str, Any]]:
        """At most `max_images` rows, by whole pairs, in an order hashed from the seed."""
        if len(rows) <= self.params.max_images:
            return rows
        keys = sorted({self.group_of(row) for row in rows}, key=lambda k: seed_of(seed, "shortcut", k))
        kept = set(keys[: max(1, len(keys) * self.params.max_images // len(rows))])
        return [row for row in rows if self.group_of(row) in kept]

    def _answer(self, x: Floats, y: Ints, group: Ints, kind: str, question: str, seed: int) -> dict[str, Any]:
        names = self.kinds[kind]
        x = x[:, [self.features.index(name) for name in names]]
        limit = self.params.pixel_limit if kind in self.loose else self.params.file_limit
        n_groups = len(np.unique(group))
        small = min(np.bincount(y, minlength=2)) < self.params.min_images / 2 or n_groups < self.params.folds
        if small:
            return {
                "n": len(y),
                "auc": None,
                "low": None,
                "high": None,
                "feature": None,
                "feature_auc": None,
                "limit": limit,
                "above_limit": False,
                "reason": f"too few {self.unit}",
            }
        scores = out_of_fold(x, y, group, self.params.folds, seed_of(seed, "shortcut", question, kind))
        areas = [float(roc_auc_score(y, score)) for score in scores]
        best = int(np.argmax(areas))
        rng = rng_of(seed, "shortcut-bootstrap", question, kind)
        low, high = auc_interval(y, scores[best], group, self.params.replicates, rng)
        feature, alone = single_feature(x, y, names)
        above = areas[best] > limit and low > 0.5
        return {
            "n": len(y),
            "auc": round(areas[best], 4),
            "low": round(low, 4),
            "high": round(high, 4),
            "feature": feature,
            "feature_auc": round(alone, 4),
            "limit": limit,
            "above_limit": above,
        }
