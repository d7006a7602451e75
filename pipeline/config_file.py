"""Configuration files: TOML, `--set a.b=c`, and every error at once: key, value, what is allowed, nearest key."""

from __future__ import annotations

import tomllib
from collections.abc import Iterable, Sequence
from pathlib import Path
from types import UnionType
from typing import Any, Union, get_args, get_origin

import tomli_w
from pydantic import BaseModel, ValidationError

from manifests import text_files
from manifests.errors import DataError, MissingError, UsageError
from manifests.registry import nearest
from pipeline.config import Config


def _known_keys(path: Sequence[str | int]) -> list[str]:
    """The keys allowed at the parent of `path`."""
    model: Any = Config
    for part in map(str, path[:-1]):
        field = model.model_fields.get(part) if isinstance(model, type) and issubclass(model, BaseModel) else None
        if field is None:
            return []
        model = field.annotation
        if get_origin(model) in (Union, UnionType):
            model = next((a for a in get_args(model) if isinstance(a, type)), None)
    return list(model.model_fields) if isinstance(model, type) and issubclass(model, BaseModel) else []


def _explain(error: ValidationError, source: str) -> list[str]:
    lines = []
    for item in error.errors():
        path = [str(p) for p in item["loc"]]
        key = ".".join(path) or "(file)"
        if item["type"] == "extra_forbidden":
            known = _known_keys(item["loc"])
            lines.append(f"{source}: {key} = {item['input']!r}: unknown key{nearest(path[-1], known)}"
                         f" (allowed: {', '.join(known)})")
        else:
            message = item["msg"].removeprefix("Value error, ")
            lines.append(f"{source}: {key} = {item['input']!r}: {message}")
    return lines


def _train_errors(values: dict[str, Any], source: str) -> list[str]:
    from detector.settings import TrainSettings

    try:
        TrainSettings.model_validate(values)
    except ValidationError as error:
        known = list(TrainSettings.model_fields)
        lines = []
        for item in error.errors():
            name = str(item["loc"][0]) if item["loc"] else ""
            hint = f"unknown key{nearest(name, known)} (allowed: {', '.join(known)})"
            message = hint if item["type"] == "extra_forbidden" else item["msg"].removeprefix("Value error, ")
            lines.append(f"{source}: train.{'.'.join(map(str, item['loc']))} = {item['input']!r}: {message}")
        return lines
    return []


def parse_set(text: str) -> tuple[list[str], Any]:
    """`a.b=c` as a key path and a TOML value (a bare word is a string).

    Raises:
        UsageError: there is no `=` or no key.
    """
    key, equals, value = text.partition("=")
    if not equals or not key.strip():
        raise UsageError(f"--set {text}", "is not of the form section.key=value", "for example --set sample.psi=0.9")
    try:
        parsed = tomllib.loads(f"x = {value}")["x"]
    except tomllib.TOMLDecodeError:
        parsed = value
    return [part.strip() for part in key.split(".")], parsed


def _merge(data: dict[str, Any], path: list[str], value: Any, text: str) -> None:
    for depth, part in enumerate(path[:-1]):
        inner = data.setdefault(part, {})
        if not isinstance(inner, dict):
            raise UsageError(f"--set {text}", f"{'.'.join(path[:depth + 1])} is a value, not a section", "mend the key")
        data = inner
    data[path[-1]] = value


def read_toml(path: Path) -> dict[str, Any]:
    """A TOML file as a dictionary.

    Raises:
        MissingError: no such file. UsageError: not TOML; the message has line and column.
    """
    if not path.is_file():
        raise MissingError(str(path), "is not there", "give the path of a TOML file, e.g. --config configs/demo.toml")
    try:
        return text_files.read_toml(path)
    except DataError as error:
        raise UsageError(error.what, error.why, error.fix) from error


def load_config(path: Path | None = None, sets: Iterable[str] = (), base: dict[str, Any] | None = None) -> Config:
    """The configuration out of a file (or `base`, or the defaults), then the `--set` values in their order.

    Raises:
        UsageError: every unknown key and wrong value of file and `--set`, in one error.
    """
    data = read_toml(path) if path else dict(base or {})
    for text in sets:
        keys, value = parse_set(text)
        _merge(data, keys, value, text)
    source = str(path) if path else "config"
    problems: list[str] = []
    config = None
    try:
        config = Config.model_validate(data)
    except ValidationError as error:
        problems += _explain(error, source)
    train = data.get("train", {})
    if isinstance(train, dict):
        problems += _train_errors(train, source)
    if problems or config is None:
        count = f"{len(problems)} error{'s' if len(problems) != 1 else ''}"
        raise UsageError(f"{source} ({count})", "\n  " + "\n  ".join(problems),
                         "mend these keys; `fairforge config show` prints all keys with their values")
    return config


def dump_config(config: Config) -> str:
    """The configuration as TOML, every key written out."""
    return tomli_w.dumps(config.model_dump(mode="json"))
