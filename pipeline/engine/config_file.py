"""Configuration files: TOML, `--set a.b=c`, and every error at once: key, value, what is allowed, nearest
key.
"""

from __future__ import annotations

import math
import tomllib
from collections.abc import Iterable, Iterator, Sequence
from copy import deepcopy
from datetime import date, time
from os.path import realpath
from pathlib import Path
from typing import Any, get_args, get_origin

import tomli_w
from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from detector.training.settings import AUTO, TrainSettings
from manifests import text_files
from manifests.errors import DataError, MissingError, UsageError
from manifests.escaping import printable
from manifests.listing import is_utf8
from manifests.registry import nearest
from pipeline.engine.config import Config
from pipeline.engine.shipped_files import config_file

DEEPEST = 20
"""Levels of lists and tables in a configuration; its deepest key has six."""
EXTENDS = "extends"
"""The key, above all sections, that names the configuration which a file begins with."""


def _known_keys(path: Sequence[str | int]) -> list[str]:
    """The keys allowed at the parent of `path`."""
    model: Any = Config
    for part in map(str, path[:-1]):
        if isinstance(model, type) and issubclass(model, BaseModel):
            field = model.model_fields.get(part)
            model = field.annotation if field else None
        elif get_origin(model) is dict:
            model = get_args(model)[1]
    return list(model.model_fields) if isinstance(model, type) and issubclass(model, BaseModel) else []


def _line(item: ErrorDetails, path: Sequence[str | int], source: str, inside: str = "") -> str:
    """One error: where (`path`, or `inside` a table that stands for section `path[0]`), the value, what is
    allowed.
    """
    key = inside + ".".join(map(str, path)) or "(file)"
    message = item["msg"].removeprefix("Value error, ")
    if item["type"] == "extra_forbidden":
        known = _known_keys(path)
        message = f"unknown key{nearest(str(path[-1]), known)} (allowed: {', '.join(known)})"
    return f"{source}: {key} = {item['input']!r}: {message}" if path else f"{source}: {message}"


def _variant_errors(data: dict[str, Any], source: str) -> list[str]:
    """Wrong keys of [ablation.variants.NAME.train], which replace keys of [train]."""
    train, lines = data.get("train"), []
    base = train if isinstance(train, dict) and not _errors_of(TrainSettings, train) else {}
    variants = data.get("ablation", {}).get("variants", {}) if isinstance(data.get("ablation"), dict) else {}
    for name, variant in variants.items() if isinstance(variants, dict) else ():
        own = variant.get("train") if isinstance(variant, dict) else None
        if isinstance(own, dict):
            found = _errors_of(TrainSettings, {**base, **own})
            inside = f"ablation.variants.{name}."
            lines += [_line(item, ("train", *item["loc"]), source, inside) for item in found]
    return lines


def odd_values(value: Any, key: str = "", depth: int = 0) -> Iterator[tuple[str, str, str]]:
    """(key, value, why) of each value that no key takes, wherever it stands: what is not a number, text, list
    or table of such.
    """
    if depth > DEEPEST:
        yield key, "...", f"is nested more than {DEEPEST} levels deep"
    elif isinstance(value, dict):
        for name, inner in value.items():
            yield from odd_values(inner, f"{key}.{name}" if key else str(name), depth + 1)
    elif isinstance(value, list):
        for number, inner in enumerate(value):
            yield from odd_values(inner, f"{key}[{number}]", depth + 1)
    elif isinstance(value, float) and not math.isfinite(value):
        yield key, str(value), "is no finite number"
    elif isinstance(value, str) and not is_utf8(value):
        yield key, printable(value), "is not UTF-8"
    elif isinstance(value, date | time):
        yield key, str(value), "is a date or time; write it as text, in quotes"


def _errors_of(model: type[BaseModel], values: dict[str, Any]) -> list[ErrorDetails]:
    try:
        model.model_validate(values)
    except ValidationError as error:
        return error.errors()
    return []


def parse_set(text: str) -> tuple[list[str], Any]:
    """`a.b=c` as a key path and a TOML value (a bare word is a string).

    Raises:
        UsageError: there is no `=` or no key.
    """
    key, equals, value = text.partition("=")
    if not equals or not key.strip():
        raise UsageError(
            f"--set {text}", "is not of the form section.key=value", "for example --set sample.psi=0.9"
        )
    try:
        parsed = tomllib.loads(f"x = {value}")["x"]
    except ValueError:  # a bare word; also a number of thousands of digits, which is refused as one
        parsed = value
    except RecursionError as error:
        raise UsageError(
            f"--set {text[:100]}...", "is nested too deeply", "give a value of a few levels"
        ) from error
    return [part.strip() for part in key.split(".")], parsed


def _merge(data: dict[str, Any], path: list[str], value: Any, text: str) -> None:
    for depth, part in enumerate(path[:-1]):
        inner = data.setdefault(part, {})
        if not isinstance(inner, dict):
            raise UsageError(
                f"--set {text}", f"{'.'.join(path[: depth + 1])} is a value, not a section", "mend the key"
            )
        data = inner
    data[path[-1]] = value


def read_toml(path: Path) -> dict[str, Any]:
    """A TOML file as a dictionary; a file of `configs` that is not there is the one that comes with the
    program.

    Raises:
        MissingError: no such file. UsageError: not TOML; the message has line and column.
    """
    path = config_file(path)
    if not path.is_file():
        raise MissingError(
            str(path), "is not there", "give the path of a TOML file, e.g. --config configs/demo.toml"
        )
    try:
        return text_files.read_toml(path)
    except DataError as error:
        raise UsageError(error.what, error.why, error.fix) from error


def read_config(path: Path) -> tuple[dict[str, Any], list[Path]]:
    """The values in a configuration, over those of the one that it `extends`, if any: tables key by key, all
    else whole. That one's path is meant from the folder of the file that names it.

    Returns:
        The values, and the files that they are from, `path`'s own first.

    Raises:
        MissingError: a file is not there. UsageError: a file is not TOML, or extends something other than a
            file, or itself.
    """
    chain: list[Path] = []
    data: dict[str, Any] = {}
    following: Path | None = path
    while following is not None:
        file = config_file(following)
        if realpath(file) in map(realpath, chain):
            names = " -> ".join(map(str, [*chain, file]))
            raise UsageError(str(path), f"extends itself: {names}", f"take `{EXTENDS}` out of one of them")
        try:
            own = read_toml(file)
        except MissingError as error:
            if not chain:
                raise
            raise MissingError(
                error.what,
                f"is not there, and {chain[-1]} extends it",
                f"give the path from {chain[-1].parent}/",
            ) from error
        chain.append(file)
        following = _extended(own.pop(EXTENDS, None), file)
        data = _over(data, own)
    return data, chain


def _extended(named: Any, file: Path) -> Path | None:
    """The configuration that `file` names as `extends`, if it does."""
    if named is None:
        return None
    if not isinstance(named, str) or not named.strip() or "\0" in named:
        raise UsageError(
            str(file), f"{EXTENDS} = {named!r} is no path", f'name one file, e.g. {EXTENDS} = "demo.toml"'
        )
    return file.parent / named


def _over(above: dict[str, Any], below: dict[str, Any], depth: int = 0) -> dict[str, Any]:
    """`below` with the values of `above` in place of its own; tables are merged, as deep as keys go."""
    merged = dict(below)
    for key, value in above.items():
        old = merged.get(key)
        if isinstance(value, dict) and isinstance(old, dict) and depth <= DEEPEST:
            value = _over(value, old, depth + 1)
        merged[key] = value
    return merged


def load_config(
    path: Path | None = None, sets: Iterable[str] = (), base: dict[str, Any] | None = None
) -> Config:
    """The configuration out of a file and what it extends (or `base`, or the defaults), then `--set` values
    in their order.

    Raises:
        MissingError: a file is not there.
        UsageError: every unknown key and wrong value of file and `--set`, in one error.
    """
    data, files = read_config(path) if path else (deepcopy(base or {}), [])
    for text in sets:
        keys, value = parse_set(text)
        _merge(data, keys, value, text)
    source = " (extends ".join(map(str, files)) + ")" * (len(files) - 1) if files else "config"
    problems = [f"{source}: {key} = {shown}: {why}" for key, shown, why in odd_values(data)]
    problems = problems or [_line(item, item["loc"], source) for item in _errors_of(Config, data)]
    problems += _variant_errors(data, source)
    if problems:
        count = f"{len(problems)} error{'s' if len(problems) != 1 else ''}"
        raise UsageError(
            f"{source} ({count})",
            "\n  " + "\n  ".join(problems),
            "mend these keys; `fairforge config show` prints all, docs/configuration.md what they mean",
        )
    return Config.model_validate(data)


def values_of(config: Config) -> dict[str, Any]:
    """Every key with its value, as TOML can hold it: what is None is `auto`; keys that are not used are there
    too.
    """

    def spelled(value: Any) -> Any:
        if isinstance(value, BaseModel):
            return {name: spelled(getattr(value, name)) for name in type(value).model_fields}
        if isinstance(value, dict):
            return {key: spelled(one) for key, one in value.items()}
        if isinstance(value, tuple | list):
            return [spelled(one) for one in value]
        return AUTO if value is None else value

    return {name: spelled(getattr(config, name)) for name in Config.model_fields}


def dump_config(config: Config) -> str:
    """The configuration as TOML, every key written out."""
    return tomli_w.dumps(values_of(config))
