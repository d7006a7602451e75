"""Everything measured of one dataset's scores: the report of frames and of videos, gaps inside methods,
counterfactual shift.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from manifests.errors import UsageError
from pipeline.stages.evaluate.score_files import KINDS
from pipeline.stages.evaluate.scores import Scores
from pipeline.stages.evaluate.video_level import by_video

MODES = ("corrected", "purdue")
TIES = ("mid", "random")
"""What a tie counts in tests and in the intervals of gaps: `detector.metrics.ties`."""


@dataclass(frozen=True)
class Measure:
    """How: mode `corrected` or `purdue`, fewest clusters of a group, bootstrap replicates and their seed, and
    what a tie counts, `random` or `mid`.

    Raises:
        UsageError: another mode, or other ties.
    """

    mode: Literal["corrected", "purdue"] = "corrected"
    min_n: int = 5
    replicates: int = 500
    seed: int = 0
    ties: Literal["mid", "random"] = "random"

    def __post_init__(self) -> None:
        if self.mode not in MODES:
            raise UsageError(f"mode {self.mode!r}", "is not known", f"choose {' or '.join(MODES)}")
        if self.ties not in TIES:
            raise UsageError(f"ties {self.ties!r}", "is not known", f"choose {' or '.join(TIES)}")

    def of(self, scores: Scores, threshold: float) -> dict[str, Any]:
        """`detector.fairness.report` as JSON-able values, with what else the data allows.

        Beside the report: `by_method` (needs methods), `counterfactual` (sets and cells) and `video`
        (videos): the report at video level, scores averaged over each video's frames.
        """
        entry = self._report(scores, threshold)
        videos = by_video(scores)
        if videos is not None:
            entry["video"] = self._report(videos, threshold)
        return entry

    def _report(self, scores: Scores, threshold: float) -> dict[str, Any]:
        from detector import fairness
        from detector.metrics.counterfactual import score_shift
        from detector.metrics.method_gaps import method_gaps

        rows = scores.label, scores.score
        report = fairness.report(
            *rows,
            scores.groups,
            scores.clusters,
            self.mode,
            threshold,
            min_n=self.min_n,
            replicates=self.replicates,
            seed=self.seed,
            ties=self.ties,
        )
        out: dict[str, Any] = report.to_dict()
        if scores.methods is not None:
            out["by_method"] = {
                kind: method_gaps(
                    *rows,
                    scores.methods,
                    values,
                    scores.clusters,
                    threshold,
                    min_n=self.min_n,
                    replicates=self.replicates,
                    seed=self.seed,
                    ties=self.ties,
                )
                for kind, values in scores.groups.items()
            }
        if scores.sets is not None and "cell" in scores.groups:
            shift = score_shift(
                *rows,
                scores.sets,
                scores.groups["cell"],
                scores.methods,
                threshold,
                replicates=self.replicates,
                seed=self.seed,
            )
            if shift is not None:
                out["counterfactual"] = shift
        return out


def constant(scores: Scores) -> Scores:
    """The same rows with a predictor that calls everything fake."""
    return scores.with_score(np.ones(len(scores)))


def scores_of(rows: Sequence[dict[str, Any]], name: str) -> Scores:
    """Rows of a manifest with their `score` as `Scores`; clusters are identities, else videos."""
    groups = {kind: [row[kind] for row in rows] for kind in KINDS}
    return Scores.of(
        name,
        [row["image_id"] for row in rows],
        [row["label"] for row in rows],
        [row["score"] for row in rows],
        {kind: values for kind, values in groups.items() if any(value is not None for value in values)},
        [row.get("path") or "" for row in rows],
        cluster=[row["identity_id"] or row["video_id"] or None for row in rows],
        method=[row["method"] for row in rows],
        set=[row["counterfactual_id"] for row in rows],
        video=[row["video_id"] for row in rows],
    )
