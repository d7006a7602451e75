"""What a stage is: a key, tasks mapped shard by shard, and a finish that merges them into its outputs.

Cache key = stage version + the config it reads + digests of its inputs + digests of its weights and of
outside files. What a stage reads and does not declare makes stale results look whole: a test runs every stage
and compares the two. A stage without tasks does all its work in `finish`.
"""

from __future__ import annotations

import json
from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

from manifests.atomic import canonical_json, digest_file, digest_value, write_json
from manifests.contents import Digests
from manifests.errors import MissingError
from manifests.registry import Params
from pipeline.engine import models
from pipeline.engine.config import Config
from pipeline.engine.executors import Executor
from pipeline.engine.markers import FileFact, changed_files, read_stage_marker, shard_files
from pipeline.engine.progress import Reporter
from pipeline.engine.run_directory import RunDirectory
from pipeline.engine.shards import Task, content_of


@dataclass(frozen=True)
class Context:
    """What a stage may use while it runs."""

    run: RunDirectory
    executor: Executor
    reporter: Reporter
    fresh: bool = False
    """Whether earlier results, those in the cache of fits too, are left aside."""

    mends: frozenset[str] = frozenset()
    """Stages that may be made again where their files are missing or were changed."""

    @property
    def config(self) -> Config:
        return self.run.config


@dataclass(frozen=True)
class Outcome:
    """What `finish` made: files that enter the stage's digest, and figures for people (JSON-able)."""

    outputs: Sequence[Path]
    summary: Mapping[str, Any] = field(default_factory=dict)


class Stage(ABC):
    """One verb of the pipeline."""

    name: ClassVar[str]
    version: ClassVar[int] = 1
    needs: ClassVar[tuple[str, ...]] = ()
    """Stages whose outputs this one reads, unless `inputs_of` says otherwise."""

    alone: ClassVar[bool] = False
    """Whether it wants the memory for itself: idle workers are ended before it, even where a later stage
    starts them again.
    """

    after: ClassVar[str] = ""
    """The stage behind which it runs; empty: it is the first."""

    optional: ClassVar[bool] = False
    """Whether a plan says nothing of it where the configuration does not ask for it."""

    remedy: ClassVar[str] = ""
    """What brings it into a run that has no such stage; empty where it does its work there too, when it is
    named.
    """

    again: ClassVar[str] = "fairforge retry --out {out}"
    """What does its failed shards again; `{out}` is the run folder."""

    def __init__(self, params: Params | None = None) -> None:
        """`params` is what every registered thing gets; the settings of a stage are in the configuration."""
        self.params = params

    def skipped(self, config: Config) -> str:
        """Why a run with this configuration has no such stage; empty where it has."""
        return ""

    @property
    def spreads(self) -> bool:
        """Whether it uses the executor."""
        return type(self).tasks is not Stage.tasks

    def inputs_of(self, run: RunDirectory) -> tuple[str, ...]:
        """Stages whose outputs this one reads in this run."""
        return self.needs

    def check(self, run: RunDirectory) -> None:
        """What can be said against this stage before any stage of a call runs.

        Raises:
            UserError: something from outside is not there, or does not go together.
        """
        return

    @abstractmethod
    def config(self, run: RunDirectory) -> dict[str, Any]:
        """The part of the configuration that decides the result."""

    def weights(self, run: RunDirectory) -> dict[str, str]:
        """sha256 of the weights used, by what they are for."""
        return {}

    def files(self, run: RunDirectory) -> dict[str, str]:
        """Digests of outside files read (photographs, checkpoints), by what they are."""
        return {}

    def tasks(self, context: Context, key: str) -> list[Task]:
        """The shards; none for a stage that is done in one piece."""
        return []

    @abstractmethod
    def finish(self, context: Context, tasks: Sequence[Task]) -> Outcome:
        """Merge the shards (all done) into the stage's outputs."""

    def folder(self, run: RunDirectory) -> Path:
        """Where this stage writes."""
        return run.folder(self.name)

    def files_of(self, run: RunDirectory) -> Iterable[FileFact]:
        """The files of its result that its outputs name, as they were written: those of its shards."""
        return shard_files(self.folder(run))

    def changed(self, run: RunDirectory, marker: Mapping[str, Any], digests: Digests) -> list[str]:
        """Names of outputs and files that are not as they were written.

        Args:
            run: of the stage.
            marker: of the finished stage.
            digests: which files are compared with their digests; outputs always are.
        """
        outputs = [
            FileFact(self.folder(run), name, None, sha256)
            for name, sha256 in marker.get("outputs", {}).items()
        ]
        return [*changed_files(outputs, "whole"), *changed_files(self.files_of(run), digests)]

    def parts(self, run: RunDirectory) -> dict[str, Any]:
        """Everything the cache key is made of, as JSON would give it back (lists, not tuples).

        Raises:
            MissingError: an input stage is not finished, or a weight is not there.
        """
        parts = {
            "version": self.version,
            "seed": run.config.run.seed,
            "config": self.config(run),
            "inputs": self.input_digests(run),
            "weights": self.weights(run),
            "files": self.files(run),
        }
        return dict(json.loads(canonical_json(parts)))

    def input_digests(self, run: RunDirectory) -> dict[str, str]:
        """The digest of every stage that this one reads, by name.

        Raises:
            MissingError: one is not finished.
        """
        inputs = {}
        for name in self.inputs_of(run):
            marker = finished_marker(run, name)
            if not marker:
                raise MissingError(
                    f"stage {name}",
                    f"is not finished in {run.root}, and {self.name} reads what it makes",
                    f"fairforge run --out {run.root} --to {self.name}",
                )
            inputs[name] = marker["digest"]
        return inputs


def group_of(name: str) -> str:
    """`cross` of the stage `cross/verify`; empty for a stage of the run itself."""
    return name.rpartition("/")[0]


def stage_marker(run: RunDirectory, name: str) -> Path:
    """The marker of a finished stage."""
    return run.folder(name) / "done" / "stage.json"


def finished_marker(run: RunDirectory, name: str) -> dict[str, Any]:
    """What the marker of a finished stage says; empty where it is not finished."""
    return read_stage_marker(stage_marker(run, name))


def weight_digest(name: str, kind: str) -> str:
    """sha256 of what a model is made of, as it enters cache keys; errors as `models.weight_of`."""
    return models.weight_of(name, kind).sha256


def face_reader_weights(config: Config) -> dict[str, str]:
    """sha256 of what finds faces, their landmarks and identities, by what they are for."""
    kinds = {"face_detector": "detection", "landmarker": "landmarks", "identity_model": "identity"}
    return {name: weight_digest(getattr(config.verify, name), kind) for name, kind in kinds.items()}


def write_stage_marker(
    run: RunDirectory, stage: Stage, key: str, parts: dict[str, Any], outcome: Outcome
) -> str:
    """Write the marker of a finished stage; returns the digest of its outputs."""
    folder = stage.folder(run)
    outputs = {path.relative_to(folder).as_posix(): digest_file(path) for path in outcome.outputs}
    content = content_of(folder)
    digest = digest_value({**outputs, "shards": content} if content else outputs)
    write_json(
        stage_marker(run, stage.name),
        {
            "key": key,
            "parts": parts,
            "outputs": outputs,
            "digest": digest,
            "summary": dict(outcome.summary),
            "main": next(iter(outputs), ""),
        },
    )
    return digest


def changed_parts(old: Any, new: Any, path: str = "") -> list[str]:
    """What differs between two `parts`, as `config.psi 1.0 -> 0.9`."""
    if isinstance(old, dict) and isinstance(new, dict):
        out = []
        for key in sorted({*old, *new}):
            out += changed_parts(old.get(key), new.get(key), f"{path}.{key}" if path else str(key))
        return out
    if old == new:
        return []
    if path.startswith(("inputs.", "weights.", "files.")):
        return [f"{path} changed"]
    return [f"{path} {old!r} -> {new!r}"]
