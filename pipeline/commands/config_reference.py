"""`fairforge config reference`: every key of the configuration with its type, default and meaning, as
Markdown.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from types import UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from annotated_types import Ge, Gt, Le, Lt, MinLen
from pydantic import BaseModel
from pydantic.fields import FieldInfo

from detector.training.settings import AUTO
from manifests.registry import first_sentence
from pipeline.engine.config import Config

HEAD = """# Configuration

All keys of a configuration file, as the program knows them. This page is made by `fairforge config reference`;
`fairforge config show` prints the keys with their values. A value that is `auto` is chosen by the program, as its
line says.

`extends = "other.toml"`, above all sections, begins with the values of another file, which may extend a third. Its
path is meant from the folder of the file that names it. Tables are merged key by key, those of methods and variants
too; any other value replaces the one before, lists whole. `--set` comes last. A run keeps its configuration whole, as
`config show` prints it.
"""
TABLE = ("| key | type | default | meaning |", "|---|---|---|---|")
NAMES = {int: "integer", float: "number", str: "text", bool: "true or false", Any: "value"}


@dataclass(frozen=True)
class Key:
    """One key: `section.name`; what it may be, as words; its default as TOML would have it; what it means."""

    key: str
    type: str
    default: str
    meaning: str


def _bounds(metadata: Sequence[Any]) -> str:
    """The range that a field's or an element's constraints leave, e.g. ` in (0, 2]`."""
    low, high, found = "", "", False
    for one in _flat(metadata):
        if isinstance(one, Ge | Gt):
            low, found = f"[{_number(one.ge)}" if isinstance(one, Ge) else f"({_number(one.gt)}", True
        elif isinstance(one, Le | Lt):
            high, found = f"{_number(one.le)}]" if isinstance(one, Le) else f"{_number(one.lt)})", True
    if not found:
        return ""
    if not high:
        return f" {'from' if low.startswith('[') else 'above'} {low[1:]}"
    return f" in {low or '('}, {high}" if low else f" up to {high}"


def _flat(metadata: Sequence[Any]) -> Iterator[Any]:
    for one in metadata:
        yield from one.metadata if isinstance(one, FieldInfo) else (one,)


def _number(value: Any) -> str:
    power = int(value).bit_length() - 1
    if isinstance(value, int) and power > 40:
        return f"2^{power}"
    return f"{value:g}" if isinstance(value, float) else str(value)


def type_of(annotation: Any, metadata: Sequence[Any] = ()) -> str:
    """A field's type in words: `integer from 1`, `one of jpeg, webp`, `list of text`, `number in [0, 1]`."""
    origin, inner = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        return type_of(inner[0], inner[1:])
    if origin is Literal:
        return f"one of {', '.join(map(str, inner))}"
    if origin in (Union, UnionType):
        known = [type_of(one, metadata) for one in inner if one is not type(None)]
        return " or ".join([*known, AUTO] if type(None) in inner else known)
    if origin is tuple:
        several = inner[-1] is Ellipsis
        least = " (at least one)" if any(isinstance(one, MinLen) for one in _flat(metadata)) else ""
        if several:
            return f"list of {type_of(inner[0])}{least}"
        return f"[{', '.join(type_of(one) for one in inner)}]"
    if origin is dict:
        return "table" if inner[1] is Any else f"table of {type_of(inner[1])}"
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return "table (below)"
    return NAMES[annotation] + _bounds(metadata)


def default_of(value: Any) -> str:
    """A default as TOML has it; a table that is listed below has its own."""
    if isinstance(value, BaseModel):
        return "{}"
    if isinstance(value, dict):
        inner = ", ".join(f"{key} = {default_of(one)}" for key, one in value.items())
        return f"{{ {inner} }}" if value else "{}"
    if isinstance(value, tuple):
        return "[" + ", ".join(map(default_of, value)) + "]"
    return json.dumps(AUTO if value is None else value, ensure_ascii=False)


def tables(model: type[BaseModel] = Config, name: str = "") -> Iterator[tuple[str, type[BaseModel]]]:
    """The sections below a model by their names in a file, parents first."""
    for key, field in model.model_fields.items():
        inner, path = field.annotation, f"{name}.{key}" if name else key
        if get_origin(inner) is dict:
            inner, path = get_args(inner)[1], f"{path}.NAME"
        if isinstance(inner, type) and issubclass(inner, BaseModel):
            yield path, inner
            yield from tables(inner, path)


def keys() -> list[Key]:
    """All keys, by section, in the order of the models."""
    return [
        Key(
            f"{section}.{name}",
            type_of(field.annotation, field.metadata),
            default_of(field.get_default()),
            field.description or "",
        )
        for section, model in tables()
        for name, field in model.model_fields.items()
    ]


def as_markdown(found: Sequence[Key]) -> str:
    """One table per section."""
    meanings = {section: first_sentence(model.__doc__ or "") for section, model in tables()}
    parts = [HEAD]
    for section, meaning in meanings.items():
        rows = [
            f"| `{key.key.rpartition('.')[2]}` | {key.type} | `{key.default}` | {key.meaning} |"
            for key in found
            if key.key.rpartition(".")[0] == section
        ]
        parts.append("\n".join([f"## [{section}]\n\n{meaning}\n", *TABLE, *rows, ""]))
    return "\n".join(parts)
