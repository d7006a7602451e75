"""Everything the page shows, read from the run's files. A missing file is named with the stage that makes
it.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa

from manifests.errors import DataError, MissingError
from manifests.store import read_images, read_table
from pipeline.engine.run_directory import RunDirectory, folder_name
from pipeline.engine.stages import stages_of

CELLS = "cells/cells.json"
ACCEPTANCE = "verify/acceptance.json"
MANIFEST = "dataset/manifest.parquet"
COUNTS = "dataset/counts.json"
AUDIT = "audit/audit.json"
CROSS_MANIFEST = "cross/dataset/manifest.parquet"
CROSS_ACCEPTANCE = "cross/verify/acceptance.json"
TRAINING = "detector/training.json"
METRICS = "detector/metrics.jsonl"
RESULTS = "evaluate/results.json"
SCORES = "evaluate/scores.parquet"
RELEASE_SUMS = "release/data/SHA256SUMS"

STAGE_OF = {
    CELLS: "cells",
    ACCEPTANCE: "verify",
    MANIFEST: "pair",
    COUNTS: "pair",
    AUDIT: "audit",
    CROSS_MANIFEST: "cross/pair",
    CROSS_ACCEPTANCE: "cross/verify",
    TRAINING: "train",
    METRICS: "train",
    RESULTS: "evaluate",
    SCORES: "evaluate",
    RELEASE_SUMS: "release",
}


def marker_file(stage: str) -> str:
    """Where the marker of a finished stage lies in the run directory."""
    return f"{folder_name(stage)}/done/stage.json"


def needed(run: RunDirectory, name: str, stage: str) -> Path:
    """The file `name` of the run.

    Raises:
        MissingError: it is not there; the message names the stage that makes it.
    """
    path = run.root / name
    if not path.is_file():
        raise MissingError(
            name,
            f"is not there: the report shows it, and stage {stage} makes it",
            f"fairforge run --out {run.root} --from {stage}",
        )
    return path


def _json(path: Path) -> Any:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise DataError(
            str(path), f"is not JSON ({error})", "remove the file and run its stage again"
        ) from error


def _object(path: Path) -> dict[str, Any]:
    value = _json(path)
    if not isinstance(value, dict):
        raise DataError(str(path), "is not a JSON object", "remove the file and run its stage again")
    return value


def _lines(path: Path) -> list[dict[str, Any]]:
    try:
        return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines() if line.strip()]
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise DataError(
            str(path), f"is not JSON lines ({error})", "remove the file and run its stage again"
        ) from error


@dataclass(frozen=True)
class RunFiles:
    """The contents of a finished run, by what they are. `cells` is None where the run fitted none,
    `cross_acceptance` where it has no second dataset; `markers` holds the marker of each stage but the
    report.
    """

    run: RunDirectory
    cells: dict[str, Any] | None
    acceptance: dict[str, Any]
    cross_acceptance: dict[str, Any] | None
    manifest: pa.Table
    counts: dict[str, Any]
    audit: dict[str, Any]
    training: dict[str, Any]
    metrics: list[dict[str, Any]]
    results: dict[str, Any]
    scores: pa.Table
    markers: dict[str, dict[str, Any]]

    @property
    def cell_names(self) -> tuple[str, ...]:
        """The cells of the run's taxonomy, in its order."""
        return self.run.config.dataset.cells

    @property
    def methods(self) -> tuple[str, ...]:
        """The forgeries trained on, then those held out, then generated faces that are fakes."""
        forge = self.run.config.forge
        named = (*forge.methods, *forge.held_out)
        return (*named, *sorted(set(self.manifest["method"].to_pylist()) - {"none", *named}))

    @property
    def datasets(self) -> list[str]:
        """Names of the evaluated datasets: the own test split first, then the others by name."""
        return sorted(self.results["datasets"], key=lambda name: (not name.startswith("test"), name))


def read_run(run: RunDirectory) -> RunFiles:
    """Read what the page needs.

    Raises:
        MissingError: a file is not there; its stage is named. DataError: a file cannot be read.
    """
    stages = [stage.name for stage in stages_of(run.config) if stage.name != "report" and not stage.optional]

    markers = {stage: _object(needed(run, marker_file(stage), stage)) for stage in stages}
    paths = {name: needed(run, name, stage) for name, stage in STAGE_OF.items() if stage in stages}
    return RunFiles(
        run,
        cells=_object(paths[CELLS]) if CELLS in paths else None,
        acceptance=_object(paths[ACCEPTANCE]),
        cross_acceptance=_object(paths[CROSS_ACCEPTANCE]) if CROSS_ACCEPTANCE in paths else None,
        manifest=read_images(paths[MANIFEST]),
        counts=_object(paths[COUNTS]),
        audit=_object(paths[AUDIT]),
        training=_object(paths[TRAINING]),
        metrics=_lines(paths[METRICS]),
        results=_object(paths[RESULTS]),
        scores=read_table(paths[SCORES]),
        markers=markers,
    )
