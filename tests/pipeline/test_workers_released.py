"""Worker processes end when no stage that follows uses them, and before the one that wants the memory for
itself.
"""

from __future__ import annotations

import inspect
import multiprocessing
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from pipeline.engine import runner
from pipeline.engine.config import Config
from pipeline.engine.executors import process
from pipeline.engine.progress import Reporter
from pipeline.engine.run_directory import RunDirectory
from pipeline.engine.shards import Task
from pipeline.engine.stage import Context, Outcome, Stage
from pipeline.engine.stages import all_stages

STAGES = [stage for stage in all_stages() if not stage.optional]
OPTIONAL = [stage for stage in all_stages() if stage.optional]


def whoami(task: Task) -> pa.Table:
    return pa.table({"pid": [os.getpid()]})


def workers() -> set[int | None]:
    return {child.pid for child in multiprocessing.active_children()}


class Short(Stage):
    """Notes which workers there are while it runs."""

    def __init__(self, name: str, alone: bool = False) -> None:
        self.name, self.alone, self.seen = name, alone, set()  # type: ignore[misc]

    def config(self, run: RunDirectory) -> dict[str, Any]:
        return {}

    def finish(self, context: Context, tasks: Sequence[Task]) -> Outcome:
        self.seen = workers()
        return Outcome([])


class Spread(Short):
    def tasks(self, context: Context, key: str) -> list[Task]:
        return [Task(self.name, k, self.folder(context.run), key, whoami) for k in range(3)]


def start_without_torch() -> None:
    """Such workers start quickly."""


def test_workers_are_kept_between_stages_that_use_them_and_released_before_those_that_do_not(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(process, "_start_worker", start_without_torch)
    stages = [
        Spread("first"),
        Short("between"),
        Spread("second"),
        Short("detector", alone=True),
        Short("last"),
    ]
    config = Config.model_validate({"execute": {"executor": "process", "workers": 2}})
    runner.run_stages(
        RunDirectory(tmp_path, config), stages, flags=runner.Flags(), reporter=Reporter(quiet=True), argv=[]
    )
    first, between, second, detector, last = (stage.seen for stage in stages)
    assert len(first) == 2
    assert first == between == second
    assert detector == last == set()


def test_the_detector_trains_without_workers_also_where_a_later_stage_starts_new_ones(tmp_path: Path) -> None:
    stages = [Spread("first"), Short("train", alone=True), Short("report"), Spread("ablation")]
    assert [runner.keeps_workers(stages[k:]) for k in range(4)] == [True, False, True, True]


def test_of_the_real_stages_none_holds_workers_while_the_detector_trains() -> None:
    stages = [*STAGES, *OPTIONAL]
    kept = {stage.name: runner.keeps_workers(stages[k:]) for k, stage in enumerate(stages)}
    assert not kept["train"]
    assert kept["audit"]
    without = {stage.name: runner.keeps_workers(STAGES[k:]) for k, stage in enumerate(STAGES)}
    assert [name for name, keeps in without.items() if not keeps] == [
        "train",
        "evaluate",
        "release",
        "report",
    ]


@pytest.mark.parametrize("stage", [*STAGES, *OPTIONAL], ids=lambda stage: stage.name)
def test_a_stage_says_whether_it_uses_workers(stage: Stage) -> None:
    source = inspect.getsource(type(getattr(stage, "inner", stage)))
    assert stage.spreads == ("def tasks" in source or "context.executor" in source)
