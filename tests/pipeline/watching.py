"""What a stage really reads while it works: configuration keys, and files of other stages and from
outside.
"""

from __future__ import annotations

import dataclasses
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from pydantic import BaseModel

from manifests import weights
from pipeline.engine import models
from pipeline.engine.config import Config
from pipeline.engine.run_directory import RunDirectory
from pipeline.engine.shards import Task, do_shard
from pipeline.engine.stage import Context, Stage

Key = tuple[str, str]
ALL = "*"
OWN_PLACES = tuple(
    str(Path(place).resolve())
    for place in (sys.prefix, sys.base_prefix, "/proc", "/sys", "/dev", "/etc", "/usr")
)
CODE = (".py", ".pyc", ".toml", ".css", ".pth")
INSTALLED = (".egg-info", ".dist-info")
"""Endings of folders with what an installer noted: which plug-ins there are."""


class Watch:
    """While `on`, every key that is read of a configuration and every file that is opened for reading is
    kept.

    A key that `Config.with_values` has replaced is not the outer configuration's; who made its value has read
    that elsewhere.
    """

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.on, self.keys, self.files = False, set[Key](), set[Path]()
        self._replaced: dict[int, tuple[object, set[str]]] = {}
        self._names: dict[type, str] = {}
        for name, field in Config.model_fields.items():
            if isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel):
                self._names[field.annotation] = name
        for kind in (Config, *self._names):
            monkeypatch.setattr(kind, "__getattribute__", self._reader(kind))
            monkeypatch.setattr(kind, "model_dump", self._dumper(kind.model_dump))
        monkeypatch.setattr(Config, "with_values", self._replacer(Config.with_values))
        monkeypatch.setattr(pq, "ParquetFile", self._opener(pq.ParquetFile))
        sys.addaudithook(self._heard)

    @contextmanager
    def paused(self) -> Iterator[None]:
        before, self.on = self.on, False
        try:
            yield
        finally:
            self.on = before

    @contextmanager
    def listening(self) -> Iterator[None]:
        self.on, self.keys, self.files = True, set(), set()
        try:
            yield
        finally:
            self.on = False

    def _heard(self, event: str, arguments: tuple[Any, ...]) -> None:
        if self.on and event == "open" and isinstance(arguments[0], str) and "r" in (arguments[1] or "r"):
            self.files.add(Path(arguments[0]).absolute())

    def _opener(self, original: Any) -> Any:
        def opened(path: Any, *rest: Any, **named: Any) -> Any:
            if self.on and isinstance(path, str | Path):
                self.files.add(Path(path).absolute())
            return original(path, *rest, **named)

        return opened

    def _read(self, owner: BaseModel, kind: type, name: str, value: object) -> None:
        if kind is Config:
            if not isinstance(value, BaseModel):  # a section that is a plain table
                self.keys.add((name, ALL))
        elif name not in self._replaced.get(id(owner), (None, set()))[1]:
            self.keys.add((self._names[kind], name))

    def _reader(self, kind: type[BaseModel]) -> Any:
        fields = set(kind.model_fields)

        def getattribute(owner: BaseModel, name: str) -> Any:
            value = object.__getattribute__(owner, name)
            if self.on and name in fields:
                self._read(owner, kind, name, value)
            return value

        return getattribute

    def _dumper(self, original: Any) -> Any:
        def dump(owner: BaseModel, **named: Any) -> Any:
            with self.paused():
                made = original(owner, **named)
            for name in made if self.on else ():
                value = getattr(owner, name)
                if isinstance(value, BaseModel):
                    value.model_dump()
            return made

        return dump

    def _replacer(self, original: Any) -> Any:
        def with_values(owner: Config, **sections: Mapping[str, Any]) -> Config:
            with self.paused():
                made: Config = original(owner, **sections)
                for name, values in sections.items():
                    section = getattr(made, name)
                    self._replaced[id(section)] = section, set(values)
            return made

        return with_values


@dataclasses.dataclass(frozen=True)
class Read:
    """What one stage has read."""

    keys: frozenset[Key]
    files: frozenset[Path]


def limited(task: Task) -> Task:
    """The beginning of a shard: what it opens is the same."""
    payload = vars(task.payload)
    cuts = {"items": 2, "groups": 1, "chosen": 2}
    shorter: dict[str, Any] = {
        name: tuple(islice(payload[name], n)) for name, n in cuts.items() if name in payload
    }
    if "stop" in payload:
        shorter["stop"] = payload["start"] + 2
    if not shorter:
        raise AssertionError(f"say here how a shard of {task.stage} is cut: it has {sorted(payload)}")
    return dataclasses.replace(task, payload=dataclasses.replace(task.payload, **shorter))


def work(stage: Stage, context: Context) -> None:
    """Make the tasks, begin one shard (`ablation` does it whole), finish."""
    tasks = stage.tasks(context, "key")
    if stage.name == "ablation":
        do_shard(tasks[0])
    elif tasks:
        tasks[0].call(limited(tasks[0]))
    stage.finish(context, tasks)


def forget_models() -> None:
    """Empty every cache of models and digests, so that their files are opened again."""
    weights._digest.cache_clear()
    for name in (
        "generator",
        "cell_model",
        "attribute_model",
        "landmarker",
        "face_detector",
        "identity_model",
        "identity_index",
    ):
        getattr(models, name).cache_clear()


def read_by(watch: Watch, monkeypatch: pytest.MonkeyPatch, do: Any) -> Read:
    """What `do()` reads, but for what the key's own making reads."""
    original = Stage.parts

    def parts(stage: Stage, run: RunDirectory) -> dict[str, Any]:
        with watch.paused():
            return original(stage, run)

    forget_models()
    with monkeypatch.context() as patch, watch.listening():
        patch.setattr(Stage, "parts", parts)
        do()
    return Read(frozenset(watch.keys), frozenset(watch.files))


def outside(read: Read, root: Path) -> set[Path]:
    """The files that are neither the run's, nor the program's own code, nor the installation's."""
    return {
        file
        for file in map(Path.resolve, read.files)
        if root not in file.parents
        and not str(file).startswith(OWN_PLACES)
        and file.suffix not in CODE
        and file.is_file()
        and file.parent.suffix not in INSTALLED
    }
