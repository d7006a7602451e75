"""The scores of a run, dataset by dataset and cell by cell, as the plots of the report want them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow.compute as pc

from detector.metrics.rates import roc
from pipeline.report.run_files import RunFiles

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]
Point = tuple[float, float]
MOST_POINTS = 300
"""Of a curve that is drawn small: more are no finer on paper."""


@dataclass(frozen=True)
class Scored:
    """The rows of one dataset.

    label: int64 [N], 1 fake, 0 real. score: float64 [N] in [0, 1]. image_ids, methods: str [N]. cells: str or
    None [N]. clusters: int64 [N], the same number for rows of one identity (or video); a row without either
    stands by itself.
    """

    name: str
    label: Ints
    score: Floats
    image_ids: Sequence[str]
    methods: Sequence[str]
    cells: Sequence[str | None]
    clusters: Ints

    def of_cell(self, cell: str) -> tuple[Ints, Floats]:
        """Labels and scores of one cell's rows."""
        mine = np.array([one == cell for one in self.cells], bool)
        return self.label[mine], self.score[mine]

    def shown_cells(self, order: Sequence[str]) -> list[str]:
        """The cells that have a row: those of `order` first, then the others by name."""
        found = {cell for cell in self.cells if cell is not None}
        return [*(cell for cell in order if cell in found), *sorted(found - set(order))]


def _clusters(identities: Sequence[str | None], videos: Sequence[str | None]) -> Ints:
    known: dict[tuple[str, object], int] = {}
    keys = [
        ("identity", one) if one is not None else ("video", video) if video is not None else ("row", k)
        for k, (one, video) in enumerate(zip(identities, videos, strict=True))
    ]
    return np.array([known.setdefault(key, len(known)) for key in keys], np.int64)


def scored(files: RunFiles, dataset: str) -> Scored:
    """The rows of one evaluated dataset."""
    rows = files.scores.filter(pc.equal(files.scores["dataset"], dataset))
    text = {
        name: rows.column(name).to_pylist()
        for name in ("image_id", "method", "cell", "identity_id", "video_id")
    }
    return Scored(
        dataset,
        np.array(rows.column("label").to_pylist(), np.int64),
        np.array(rows.column("score").to_pylist(), np.float64),
        text["image_id"],
        text["method"],
        text["cell"],
        _clusters(text["identity_id"], text["video_id"]),
    )


def thin(x: Floats, y: Floats) -> list[Point]:
    """The points of a ROC curve without those inside a horizontal or vertical stretch: the same line, fewer
    points.
    """
    points = list(zip(x.tolist(), y.tolist(), strict=True))
    kept = points[:1]
    for before, here, after in zip(points, points[1:], points[2:], strict=False):
        along_x = before[0] == here[0] == after[0]
        along_y = before[1] == here[1] == after[1]
        if not (along_x or along_y):
            kept.append(here)
    return kept + points[1:][-1:]


def curve_of(label: Ints, score: Floats, most: int | None = None) -> list[Point]:
    """(FPR, TPR) points of a ROC curve; none where a class is missing.

    Args:
        label: int64 [N], 1 fake, 0 real.
        score: float64 [N].
        most: points at most, evenly chosen along the curve, its ends kept; None: all.
    """
    if len(np.unique(label)) < 2:
        return []
    curve = roc(label, score)
    points = thin(curve.fpr, curve.tpr)
    if most is None or len(points) <= most:
        return points
    return [points[k] for k in np.unique(np.linspace(0, len(points) - 1, most).round().astype(int)).tolist()]
