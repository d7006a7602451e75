"""Stage `report`: one self-contained HTML page about the run."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from manifests.atomic import write_text
from pipeline.engine.run_directory import RunDirectory
from pipeline.engine.shards import Task
from pipeline.engine.shown_config import shown_values
from pipeline.engine.stage import Context, Outcome, Stage
from pipeline.engine.stages import STAGES
from pipeline.stages.cross.source import fits_cells, with_cross


@STAGES.register("report")
class ReportStage(Stage):
    """What is proved and what not, contact and error sheets, curves per cell, tables; each names the file it
    comes from.
    """

    name = "report"
    after = "release"
    version = 4
    needs = (
        *("cells", "sample", "verify", "forge", "pair", "audit"),
        *("cross/sample", "cross/verify", "cross/forge", "cross/pair"),
        *("train", "evaluate", "release"),
    )

    def inputs_of(self, run: RunDirectory) -> tuple[str, ...]:
        needs = with_cross(self.needs, run.config)
        return needs if fits_cells(run.config) else tuple(name for name in needs if name != "cells")

    def config(self, run: RunDirectory) -> dict[str, Any]:
        return shown_values(run.config)

    def finish(self, context: Context, tasks: Sequence[Task]) -> Outcome:
        from pipeline.report import render

        path = self.folder(context.run) / "index.html"
        write_text(path, render(context.run))
        return Outcome([path], {"page": path.relative_to(context.run.root).as_posix()})
