"""Score files: anybody's scores in a CSV or parquet, one row per image. What cannot be used is left out and
counted.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from manifests.errors import DataError, MissingError
from manifests.store import read_batches
from manifests.tally import Tally
from manifests.text_files import csv_rows
from manifests.values import OWN_WORDS, BadValue, label_of, number_of, text_of
from pipeline.stages.evaluate.scores import Scores

KINDS = ("race", "gender", "cell")
CLUSTERS = ("identity_id", "video_id")
OPTIONAL = ("dataset", "path", "img_path", "method", "counterfactual_id", *CLUSTERS)
"""Columns that are read where they are there."""
SINGLE = ("string", "int", "uint", "float", "half", "double", "bool", "null", "decimal")
"""Kinds of parquet columns that hold text or numbers, as pyarrow spells them."""
BATCH = 65_536
"""Rows of a parquet file that are read at a time."""
NAMED, SHOWN = 5, 60
"""Groups that a warning names, and characters that it shows of a key."""
MOST_DATASETS = 1000
"""In one file: each is measured by itself."""


@dataclass(frozen=True)
class Columns:
    """Names of the columns: key of a row, its label and score, and the groups to tell apart."""

    label: str = "label"
    score: str = "score"
    key: str = "image_id"
    groups: tuple[str, ...] = KINDS


@dataclass(frozen=True)
class _Usable:
    """Rows of a file that can be used, and what was read of each."""

    rows: list[dict[str, Any]]
    keys: list[str]
    label: list[int]
    score: list[float]


def evaluated_file(path: Path, name: str) -> Path:
    """The file `name` of stage `evaluate`: `path` itself, or below a run's folder or its `evaluate` folder.

    Raises:
        MissingError: none is there.
    """
    for place in (path, path / "evaluate" / name, path / name):
        if place.is_file():
            return place
    raise MissingError(
        str(path), f"is no file and no run with evaluate/{name}", "run `fairforge evaluate` on it first"
    )


def read_rows(path: Path, needed: Sequence[str], optional: Sequence[str] = ()) -> list[dict[str, Any]]:
    """All rows of a CSV or parquet: at least the columns asked for, by those names whatever their case in the
    file.

    Args:
        path: the file.
        needed: columns that must be there.
        optional: columns that may be there.

    Raises:
        MissingError: no such file. DataError: unreadable, a column is missing, stands twice or is nested, or
            there is no row.
    """
    if path.suffix.lower() == ".parquet":
        rows = _parquet_rows(path, needed, optional)
    else:
        rows = [dict(row) for _, row in csv_rows(path, needed, optional)]
    if not rows:
        raise DataError(str(path), "has no row", "give a file with scores")
    return rows


def _parquet_rows(path: Path, needed: Sequence[str], optional: Sequence[str]) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = []
    seen: dict[Any, Any] = {}  # names of groups and people stand in many rows, and once in the memory
    for table in read_batches(path, needed, optional, BATCH):
        odd = [
            f"{name} is {table.schema.field(name).type}"
            for name in table.column_names
            if not str(table.schema.field(name).type).startswith(SINGLE)
        ]
        if odd:
            raise DataError(
                str(path),
                f"has columns that are neither text nor numbers: {', '.join(odd)}",
                "write them as text",
            )
        lists = (
            [seen.setdefault(value, value) if type(value) is str else value for value in column.to_pylist()]
            for column in table.columns
        )
        rows += [dict(zip(table.column_names, values, strict=True)) for values in zip(*lists, strict=True)]
        if len(seen) > BATCH:
            seen.clear()
    return rows


def _usable(rows: list[dict[str, Any]], columns: Columns, where: str) -> tuple[_Usable, list[str]]:
    """Rows with a label, a finite score and a new key; and how many were left out for what.

    Raises:
        DataError: no row is usable.
    """
    kept, why, seen = _Usable([], [], [], []), Tally(), set()
    for number, row in enumerate(rows):
        key = (
            str(number) if columns.key not in row else text_of(row[columns.key]) or f"row {number} of {where}"
        )
        try:
            label, score = _label(row[columns.label], columns.label), row[columns.score]
            if type(score) is not float or not math.isfinite(score):  # most are, in parquet
                score = number_of(score, columns.score)
        except BadValue as error:
            why.add(error.reason, f"{key[:SHOWN]}: {error.value!r:.{SHOWN}}")
            continue
        if key in seen:
            why.add(f"{columns.key} stands twice; the first row was kept", key[:SHOWN])
            continue
        seen.add(key)
        kept.rows.append(row)
        kept.keys.append(key)
        kept.label.append(label)
        kept.score.append(score)
    left = why.lines(f"of {len(rows)} rows left out")
    if not kept.rows:
        raise DataError(where, f"has no usable row: {'; '.join(left)}", "mend the file")
    return kept, left


@lru_cache(maxsize=1024, typed=True)
def _label(value: Any, name: str) -> int:
    return label_of(value, name)


@lru_cache(maxsize=65536, typed=True)
def _text(value: Any) -> str | None:
    return text_of(value)


@lru_cache(maxsize=1024, typed=True)
def _method(value: Any) -> str | None:
    return text_of(value, keep=OWN_WORDS)


def _groups(rows: list[dict[str, Any]], columns: Columns) -> tuple[dict[str, list[str | None]], list[str]]:
    groups, warnings = {}, []
    for kind in columns.groups:
        values = [_text(row.get(kind)) for row in rows]
        unknown = values.count(None)
        if unknown == len(values):
            warnings.append(f"no row has a {kind}: its gaps are not estimable")
            continue
        if unknown:
            warnings.append(f"{unknown} of {len(values)} rows have no {kind}: they take no part in its gaps")
        alone = sorted(name for name, n in Counter(values).items() if n == 1 and name is not None)
        if alone:
            more = f" and {len(alone) - NAMED} more" if len(alone) > NAMED else ""
            warnings.append(f"{kind} {', '.join(alone[:NAMED])}{more}: one row only, not estimable")
        groups[kind] = values
    return groups, warnings


def read_scores(
    path: Path, columns: Columns | None = None, *, check_groups: bool = False
) -> dict[str, Scores]:
    """Scores per dataset (column `dataset`; all rows are one where there is none), in the order of the file.

    Args:
        path: a CSV, a parquet file, or a run's folder.
        columns: the names of the columns.
        check_groups: whether a group's column must be there.

    Raises:
        MissingError: no such file. DataError: a column is missing (a group's too, with `check_groups`), or no
            row can be used.
    """
    path, columns = evaluated_file(path, "scores.parquet"), columns or Columns()
    needed = dict.fromkeys((columns.label, columns.score, *(columns.groups if check_groups else ())))
    optional = dict.fromkeys(name for name in (columns.key, *columns.groups, *OPTIONAL) if name not in needed)
    parts: dict[str, list[dict[str, Any]]] = {}
    for row in read_rows(path, list(needed), list(optional)):
        parts.setdefault(_text(row.get("dataset")) or path.stem, []).append(row)
    if len(parts) > MOST_DATASETS:
        why = f"has {len(parts)} datasets in its column dataset, more than {MOST_DATASETS}"
        raise DataError(str(path), why, "give each dataset one name, not each image")
    return {name: _scores_of(path, name, part, columns) for name, part in parts.items()}


def _scores_of(path: Path, name: str, part: list[dict[str, Any]], columns: Columns) -> Scores:
    from manifests.sanity import swapped_labels

    kept, warnings = _usable(part, columns, f"{path} ({name})")
    rows, label, score = kept.rows, np.array(kept.label), np.array(kept.score)
    groups, more = _groups(rows, columns)
    clusters = [next((text for c in CLUSTERS if (text := _text(row.get(c)))), None) for row in rows]
    if not any(clusters):
        more.append("no identity_id or video_id: rows count as independent, so intervals may be too narrow")
    paths = [_text(row.get("path")) or _text(row.get("img_path")) or "" for row in rows]
    return Scores.of(
        name,
        kept.keys,
        label,
        score,
        groups,
        paths,
        warnings=(*warnings, *more, *swapped_labels(label, paths), *_turned(label, score)),
        keyed=any(columns.key in row for row in rows),
        cluster=clusters,
        method=[_method(row.get("method")) for row in rows],
        set=[_text(row.get("counterfactual_id")) for row in rows],
        video=[_text(row.get("video_id")) for row in rows],
    )


def _turned(label: np.ndarray, score: np.ndarray) -> list[str]:
    """A warning where the scores rank the wrong way round."""
    from detector.metrics.rates import auc

    area = auc(label, score)
    return [f"AUC {area:.3f}: the labels, or the scores, may be the wrong way round"] if area < 0.3 else []
