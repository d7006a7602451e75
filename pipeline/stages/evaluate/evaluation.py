"""The one way from a detector and manifests to figures: stage `evaluate` goes it, and `evaluate --manifest`.

The threshold is fixed first, on validation images, for each predictor by itself. Then every manifest is
scored and measured, a dataset at a time: by the detector, by a constant predictor, by the floors below it.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pyarrow as pa

from manifests.atomic import write_json
from manifests.contents import Digests
from manifests.errors import DataError
from manifests.store import write_table
from manifests.watching import watched
from pipeline.stages.evaluate.floors import Predictor, policy_threshold
from pipeline.stages.evaluate.image_scores import score_in_parts
from pipeline.stages.evaluate.measuring import Measure, constant, scores_of

PARTS = "scoring"
"""Folder of the scores while an evaluation works."""
EXAMPLES = 3
Row = dict[str, Any]


def whole(rows: list[Row], name: str) -> dict[str, list[Row]]:
    """All rows as one dataset."""
    return {name: rows}


@dataclass(frozen=True)
class Source:
    """Images to score.

    name: of the dataset, or of the first part of several. split: of these rows; None: all. parts: rows and
    that name to the datasets that are measured.
    """

    name: str
    manifest: Path
    split: str | None
    parts: Callable[[list[Row], str], dict[str, list[Row]]] = whole


@dataclass(frozen=True)
class Scoring:
    """How images are scored.

    folder: where scores are kept until all is done. threads: that read images. digests: which images are
    compared with those of their rows. strict: whether an image that cannot be read ends it, or is left out.
    """

    folder: Path
    threads: int
    digests: Digests
    strict: bool = False

    def scored(self, model: Predictor, manifest: Path, split: str | None) -> tuple[list[Row], list[str]]:
        """Rows with `score`, and what was left out, one sentence per image.

        Raises:
            DataError: with `strict`, an image that cannot be read.
        """
        return score_in_parts(
            model.model,
            model.digest,
            manifest,
            split,
            self.folder,
            self.threads,
            digests=self.digests,
            strict=self.strict,
        )

    def threshold(self, model: Predictor, policy: str, validation: Path) -> float:
        """The threshold of a policy for one predictor; `validation` is read where the policy asks for it."""
        return policy_threshold(policy, lambda: self.scored(model, validation, "val")[0])

    def forget(self) -> None:
        """Remove what was kept."""
        shutil.rmtree(self.folder, ignore_errors=True)


@dataclass(frozen=True)
class Measured:
    """One dataset: its rows with `score`, what was left out of its source, and the figures of the detector,
    of the constant predictor and, by title, of the floors.
    """

    name: str
    source: Source
    rows: list[Row]
    left: list[str]
    entry: dict[str, Any]
    constant: dict[str, Any]
    floors: dict[str, dict[str, Any]]


@dataclass(frozen=True)
class Evaluation:
    """One detector and its floors, at the threshold of one policy.

    validation: the manifest that fixes it, where the policy asks for one.
    """

    detector: Predictor
    floors: Sequence[Predictor]
    policy: str
    validation: Path
    measure: Measure
    scoring: Scoring
    cuts: dict[str, float] = field(default_factory=dict)
    """The threshold of each predictor by its title, once it was asked for."""

    def cut(self, model: Predictor) -> float:
        """The threshold of the detector, or of a floor."""
        if model.title not in self.cuts:
            self.cuts[model.title] = self.scoring.threshold(model, self.policy, self.validation)
        return self.cuts[model.title]

    def of(self, source: Source) -> Iterator[Measured]:
        """What is measured of a source, dataset by dataset.

        Raises:
            DataError: no image of it can be read.
        """
        for one in (self.detector, *self.floors):
            self.cut(one)
        rows, left = self.scoring.scored(self.detector, source.manifest, source.split)
        if not rows:
            examples = "; ".join(left[:EXAMPLES])
            raise DataError(
                str(source.manifest), f"has no readable image, e.g. {examples}", "fetch its images"
            )
        below = {
            one.title: source.parts(self.scoring.scored(one, source.manifest, source.split)[0], source.name)
            for one in self.floors
        }
        for name, part in watched(source.parts(rows, source.name).items(), "measuring", "datasets"):
            scores = scores_of(part, name)
            methods = sorted({row["method"] for row in part if row["label"] == 1})
            yield Measured(
                name,
                source,
                part,
                left,
                {**self.measure.of(scores, self.cut(self.detector)), "methods": methods},
                self.measure.of(constant(scores), self.cut(self.detector)),
                {
                    one.title: self.measure.of(scores_of(below[one.title][name], name), self.cut(one))
                    for one in self.floors
                },
            )


def results_of(
    measured: Sequence[Measured], floors: Sequence[Predictor], left_out: Mapping[str, str], **facts: Any
) -> dict[str, Any]:
    """The value of `results.json`; left_out: why a floor is not there, by title. facts: beside the
    figures.
    """
    return {
        **facts,
        "datasets": {one.name: one.entry for one in measured},
        "constant_predictor": {one.name: one.constant for one in measured},
        "floors": {floor.title: {one.name: one.floors[floor.title] for one in measured} for floor in floors},
        "floors_left_out": dict(left_out),
    }


def write_evaluation(
    folder: Path, measured: Sequence[Measured], results: Mapping[str, Any], schema: pa.Schema
) -> list[Path]:
    """Write `results.json` and `scores.parquet`, one row per image and dataset, into `folder`."""
    rows = [{**row, "dataset": one.name} for one in measured for row in one.rows]
    write_table(pa.Table.from_pylist(rows, schema=schema), folder / "scores.parquet")
    write_json(folder / "results.json", results)
    return [folder / "results.json", folder / "scores.parquet"]
