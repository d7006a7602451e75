"""A comparison of generators as Markdown and CSV: a row for each figure, a column for each generator, and
beside them the floor: real faces against real faces.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from generators.cells.looks import MEASURES
from manifests.escaping import csv_text, markdown, markdown_table
from pipeline.commands.generators.metrics_as_text import PAIRS

FLOOR = "held_out_against_data"
MANIFOLD = ("precision", "recall", "density", "coverage")


@dataclass(frozen=True)
class Value:
    """A figure with its 95 % interval where it has one; None: unknown."""

    mean: float | None
    low: float | None = None
    high: float | None = None

    def text(self, digits: int) -> str:
        """`mean [low, high]` with so many digits after the point."""
        if self.mean is None:
            return ""
        if self.low is None or self.high is None:
            return f"{self.mean:.{digits}f}"
        return f"{self.mean:.{digits}f} [{self.low:.{digits}f}, {self.high:.{digits}f}]"


@dataclass(frozen=True)
class Figure:
    """A row: what it is, digits shown, one value for each generator, and that of real against real faces."""

    name: str
    digits: int
    values: list[Value]
    floor: Value = Value(None)


def _pair(row: Mapping[str, Any], space: str, pair: str, name: str) -> Value:
    found = row["spaces"][space].get(pair)
    if found is None:
        return Value(None)
    if name == "kid":
        return Value(found["kid"]["mean"], found["kid"]["low"], found["kid"]["high"])
    return Value(found["fid"]["value"] if name == "fid" else found["manifold"][name])


def _of_space(rows: list[Any], space: str) -> Iterator[Figure]:
    pairs = [pair for pair in PAIRS if pair != FLOOR and pair in rows[0]["spaces"][space]]
    for name, digits in (("kid", 4), ("fid", 2), *((name, 3) for name in MANIFOLD)):
        for pair in reversed(pairs):
            against = PAIRS[pair].removeprefix("generated ")
            values = [_pair(row, space, pair, name) for row in rows]
            yield Figure(f"{space}: {name} {against}", digits, values, _pair(rows[0], space, FLOOR, name))


def figures(value: Mapping[str, Any]) -> list[Figure]:
    """Every row of the table of a comparison (`compare_generators`)."""
    rows = value["generators"]
    out = [figure for space in value["spaces"] for figure in _of_space(rows, space)]
    rate = Value((rows[0]["sets"].get("held-out") or rows[0]["sets"]["data"])["face_rate"])
    out.append(Figure("face found", 3, [Value(row["sets"]["generated"]["face_rate"]) for row in rows], rate))
    out.append(Figure("diversity of the data's", 3, [Value(row["diversity"]["relative"]) for row in rows]))
    if "memorisation" in rows[0]:
        ratios = [row["memorisation"] for row in rows]
        values = [Value(one["ratio"], one["low"], one["high"]) for one in ratios]
        out.append(Figure("memorisation ratio", 3, values, Value(1.0)))
    cells = dict.fromkeys(cell for row in rows for cell in row["looks"]["cells"])
    for cell in cells:
        for name in MEASURES:
            found = [row["looks"]["cells"].get(cell, {}).get(name) for row in rows]
            values = [Value(one["ratio"], one["low"], one["high"]) if one else Value(None) for one in found]
            out.append(Figure(f"{cell}: {name} of the data's", 2, values, Value(1.0)))
    drawn = [row["generator"] for row in rows]
    fastest = drawn[0]["images_per_second"]
    out.append(Figure("resolution, px", 0, [Value(one["resolution"]) for one in drawn]))
    out.append(Figure("parameters, million", 2, [Value(one["parameters"] / 1e6) for one in drawn]))
    out.append(Figure("weights, MB", 2, [Value(one["bytes"] / 1e6) for one in drawn]))
    out.append(
        Figure("images/s, of the first's", 2, [Value(one["images_per_second"] / fastest) for one in drawn])
    )
    return out


def _names(value: Mapping[str, Any]) -> list[str]:
    return [row["generator"]["given"] for row in value["generators"]]


def as_markdown(value: Mapping[str, Any]) -> str:
    """Counts, the table, and notes.

    Args:
        value: of `compare_generators`.
    """
    first = value["generators"][0]
    counts = ", ".join(f"{found['used']} {name}" for name, found in first["sets"].items())
    embedded = ", ".join(f"{found['identities']} {name}" for name, found in first["sets"].items())
    settings = first["settings"]
    lines = [
        f"Pictures: {counts}, for each generator; identities embedded: {embedded}. All at {value['side']} px,"
        f" psi {first['generator']['psi']:g}, seed {settings['seed']}. In brackets 95 % intervals."
        " Floor: held-out real faces against the data, which no generator can be expected to pass.",
        "",
        *markdown_table(
            ["figure", *_names(value), "floor"],
            [
                [one.name, *(v.text(one.digits) for v in one.values), one.floor.text(one.digits)]
                for one in figures(value)
            ],
            "---:",
        ),
    ]
    cells = [
        f"{row['generator']['given']}: more than a tenth off the data's: {', '.join(row['looks']['outside'])}"
        for row in value["generators"]
        if row["looks"]["outside"]
    ]
    notes = [*value["notes"], *cells, "cells are perceived: each picture's by the embedded attribute model"]
    return "\n".join([*lines, "", *(f"- {markdown(note)}" for note in notes), ""])


def as_csv(value: Mapping[str, Any]) -> str:
    """Long form, full precision: a line for each figure and generator, and for each floor.

    Args:
        value: of `compare_generators`.
    """
    rows: list[list[Any]] = [["figure", "of", "value", "low", "high"]]
    for one in figures(value):
        named = [*zip(_names(value), one.values, strict=True), ("floor", one.floor)]
        rows += [[one.name, who, v.mean, v.low, v.high] for who, v in named if v.mean is not None]
    return csv_text(rows)
