"""Stages of a dataset inside the run: `cross/sample` does what `sample` does, in the folder `cross`, with a
configuration of its own.

Such a stage is one like any other: registered, planned, sharded and resumed by the same runner. Its cache
key, its markers and its files are those that the stage itself would have in a run directory `RUN/cross`.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar

from pipeline.engine.markers import FileFact
from pipeline.engine.run_directory import RunDirectory
from pipeline.engine.shards import Task
from pipeline.engine.stage import Context, Outcome, Stage, group_of


class NestedStage(Stage):
    """`GROUP/NAME`: the stage `inner`, called NAME, on the dataset in the folder GROUP."""

    inner: ClassVar[Stage]

    def __init_subclass__(cls) -> None:
        if hasattr(cls, "inner"):
            cls.version = cls.inner.version

    @abstractmethod
    def scope(self, run: RunDirectory) -> RunDirectory:
        """The dataset that it works on: the folder GROUP of the run, with the configuration that rules it."""

    def outer_inputs(self, run: RunDirectory) -> tuple[str, ...]:
        """Stages of the run itself whose files this one reads; their digests are in its key by `files`."""
        return ()

    @property
    def spreads(self) -> bool:
        return self.inner.spreads

    def inputs_of(self, run: RunDirectory) -> tuple[str, ...]:
        inner = self.inner.inputs_of(self.scope(run))
        return (*self.outer_inputs(run), *(f"{group_of(self.name)}/{name}" for name in inner))

    def check(self, run: RunDirectory) -> None:
        self.inner.check(self.scope(run))

    def config(self, run: RunDirectory) -> dict[str, Any]:
        return self.inner.config(self.scope(run))

    def weights(self, run: RunDirectory) -> dict[str, str]:
        return self.inner.weights(self.scope(run))

    def files(self, run: RunDirectory) -> dict[str, str]:
        return self.inner.files(self.scope(run))

    def tasks(self, context: Context, key: str) -> list[Task]:
        return self.inner.tasks(self._inside(context), key)

    def finish(self, context: Context, tasks: Sequence[Task]) -> Outcome:
        return self.inner.finish(self._inside(context), tasks)

    def folder(self, run: RunDirectory) -> Path:
        return self.inner.folder(self.scope(run))

    def files_of(self, run: RunDirectory) -> Iterable[FileFact]:
        return self.inner.files_of(self.scope(run))

    def parts(self, run: RunDirectory) -> dict[str, Any]:
        self.input_digests(run)  # what is not finished is named as the run names it
        return self.inner.parts(self.scope(run))

    def _inside(self, context: Context) -> Context:
        reporter = context.reporter.inside(group_of(self.name))
        return replace(context, run=self.scope(context.run), reporter=reporter)
