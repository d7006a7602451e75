"""Score files: anybody's scores in a CSV or parquet, one row per image. What cannot be used is left out and counted."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from manifests.errors import DataError, MissingError
from manifests.store import read_table
from manifests.text_files import csv_rows

KINDS = ("race", "gender", "cell")
LABELS = {"0": 0, "real": 0, "1": 1, "fake": 1, "0.0": 0, "1.0": 1}
CLUSTERS = ("identity_id", "video_id")
UNKNOWN = ("", "None", "nan", "NaN", "null")


@dataclass(frozen=True)
class Columns:
    """Names of the columns: key of a row, its label and score, and the groups to tell apart."""

    label: str = "label"
    score: str = "score"
    key: str = "image_id"
    groups: tuple[str, ...] = KINDS


@dataclass(frozen=True)
class Scores:
    """Usable rows of one dataset. `warnings`: what was left out or looks wrong, in words.

    methods, sets, videos: `method`, `counterfactual_id` and `video_id` of each row; None where the file has no such column,
    or nothing in it.
    """

    name: str
    keys: list[str]
    label: np.ndarray
    score: np.ndarray
    groups: Mapping[str, list[str | None]]
    clusters: list[str | None] | None
    paths: list[str]
    warnings: tuple[str, ...] = ()
    methods: list[str | None] | None = None
    sets: list[str | None] | None = None
    videos: list[str | None] | None = None


def evaluated_file(path: Path, name: str) -> Path:
    """The file `name` of stage `evaluate`: `path` itself, or below a run's folder or its `evaluate` folder.

    Raises:
        MissingError: none is there.
    """
    for place in (path, path / "evaluate" / name, path / name):
        if place.is_file():
            return place
    raise MissingError(str(path), f"is no file and no run with evaluate/{name}", "run `fairforge evaluate` on it first")


def read_rows(path: Path, needed: Sequence[str]) -> list[dict[str, Any]]:
    """All rows of a CSV or parquet.

    Raises:
        MissingError: no such file. DataError: unreadable, a column is missing, or there is no row.
    """
    if path.suffix == ".parquet":
        table = read_table(path)
        lacking = [name for name in needed if name not in table.column_names]
        if lacking:
            raise DataError(str(path), f"lacks the columns {', '.join(lacking)}", f"it has: {', '.join(table.column_names)}")
        rows: list[dict[str, Any]] = table.to_pylist()
    else:
        rows = [dict(row) for _, row in csv_rows(path, tuple(needed))]
    if not rows:
        raise DataError(str(path), "has no row", "give a file with scores")
    return rows


def _text(value: Any) -> str | None:
    return None if value is None or str(value) in UNKNOWN else str(value)


def _number(value: Any) -> float:
    try:
        return float(value)
    except (TypeError, ValueError):
        return math.nan


def _usable(rows: list[dict[str, Any]], columns: Columns, where: str) -> tuple[list[dict[str, Any]], list[str]]:
    """Rows with a label, a finite score and a new key; and how many were left out for what."""
    kept, why, seen = [], Counter[str](), set()
    for row in rows:
        label, score, key = LABELS.get(str(row[columns.label]).lower()), _number(row[columns.score]), row.get(columns.key)
        if label is None:
            why[f"label is not 0, 1, real or fake (e.g. {row[columns.label]!r})"] += 1
        elif not math.isfinite(score):
            why["score is not a finite number"] += 1
        elif key is not None and key in seen:
            why[f"{columns.key} stands twice; the first row was kept"] += 1
        else:
            seen.add(key)
            kept.append({**row, "_label": label, "_score": score})
    if not kept:
        raise DataError(where, f"has no usable row: {'; '.join(why)}", "mend the file")
    return kept, [f"{n} of {len(rows)} rows left out: {text}" for text, n in why.items()]


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
            warnings.append(f"{kind} {', '.join(alone)}: one row only, not estimable")
        groups[kind] = values
    return groups, warnings


def read_scores(path: Path, columns: Columns | None = None, *, check_groups: bool = False) -> dict[str, Scores]:
    """Scores per dataset (column `dataset`; all rows are one where there is none), in the order of the file.

    Raises:
        MissingError: no such file. DataError: a column is missing (a group's too, with `check_groups`), or no row can be used.
    """
    from manifests.sanity import swapped_labels

    path, columns = evaluated_file(path, "scores.parquet"), columns or Columns()
    rows = read_rows(path, [columns.label, columns.score, *(columns.groups if check_groups else ())])
    parts: dict[str, list[dict[str, Any]]] = {}
    for row in rows:
        parts.setdefault(_text(row.get("dataset")) or path.stem, []).append(row)
    out = {}
    for name, part in parts.items():
        kept, warnings = _usable(part, columns, f"{path} ({name})")
        groups, more = _groups(kept, columns)
        clusters = [next((text for c in CLUSTERS if (text := _text(row.get(c)))), None) for row in kept]
        if not any(clusters):
            more.append("no identity_id or video_id: rows count as independent, so intervals may be too narrow")
        label, score = np.array([row["_label"] for row in kept]), np.array([row["_score"] for row in kept])
        paths = [str(row.get("path") or row.get("img_path") or "") for row in kept]
        out[name] = Scores(
            name, [str(row.get(columns.key, k)) for k, row in enumerate(kept)], label, score, groups,
            clusters if any(clusters) else None, paths,
            (*warnings, *more, *swapped_labels(label, paths), *_turned(label, score)),
            _column(kept, "method"), _column(kept, "counterfactual_id"), _column(kept, "video_id"),
        )
    return out


def _column(rows: list[dict[str, Any]], name: str) -> list[str | None] | None:
    values = [_text(row.get(name)) for row in rows]
    return values if any(value is not None for value in values) else None


def _turned(label: np.ndarray, score: np.ndarray) -> list[str]:
    """A warning where the scores rank the wrong way round."""
    from detector.metrics import auc

    area = auc(label, score)
    return [f"AUC {area:.3f}: the labels, or the scores, may be the wrong way round"] if area < 0.3 else []
