"""Score files: anybody's scores in a CSV or parquet, one row per image. What cannot be used is left out and
counted.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from manifests.columns import counted
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
KEY = "\0key"
"""Among the columns of text of usable rows: their keys, beside whatever the file calls a column."""
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
    rows: list[dict[str, Any]] = []
    seen: dict[Any, Any] = {}  # names of groups and people stand in many rows, and once in the memory
    for columns in _batches(path, needed, optional):
        lists = (
            [seen.setdefault(value, value) if type(value) is str else value for value in values]
            for values in columns.values()
        )
        rows += [dict(zip(columns, values, strict=True)) for values in zip(*lists, strict=True)]
        if len(seen) > BATCH:
            seen.clear()
    return rows


def _batches(path: Path, needed: Sequence[str], optional: Sequence[str]) -> Iterator[dict[str, list[Any]]]:
    """The columns of `read_rows`, of up to `BATCH` rows at a time. Errors as there."""
    empty = True
    found = _parquet if path.suffix.lower() == ".parquet" else _csv
    for columns in found(path, needed, optional):
        empty = False
        yield columns
    if empty:
        raise DataError(str(path), "has no row", "give a file with scores")


def _csv(path: Path, needed: Sequence[str], optional: Sequence[str]) -> Iterator[dict[str, list[Any]]]:
    rows = (row for _, row in csv_rows(path, needed, optional))
    while some := list(islice(rows, BATCH)):
        yield {name: [row[name] for row in some] for name in some[0]}


def _parquet(path: Path, needed: Sequence[str], optional: Sequence[str]) -> Iterator[dict[str, list[Any]]]:
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
        if table.num_rows:
            yield {name: table.column(name).to_pylist() for name in table.column_names}


@lru_cache(maxsize=1024, typed=True)
def _label(value: Any, name: str) -> int:
    return label_of(value, name)


@lru_cache(maxsize=1024, typed=True)
def _method(value: Any) -> str | None:
    return text_of(value, keep=OWN_WORDS)


class _Part:
    """The usable rows of one dataset: those with a label, a finite score and a new key, as columns.

    Rows come some thousand at a time and are Python objects no longer than that.
    """

    def __init__(self, where: str, columns: Columns) -> None:
        self.where, self.columns = where, columns
        self.rows = 0
        self.why, self.seen = Tally(), set[str]()
        self.keyed = False
        self.texts: dict[str, list[pa.Array]] = {
            name: [] for name in dict.fromkeys((*columns.groups, *OPTIONAL, KEY))
        }
        self.label: list[npt.NDArray[np.int64]] = []
        self.score: list[npt.NDArray[np.float64]] = []

    def add(self, values: dict[str, list[Any]], places: Sequence[int] | None = None) -> None:
        """Rows of a batch, all or those at some places."""
        if places is not None:
            values = {name: [column[k] for k in places] for name, column in values.items()}
        kept, keys, label, score = self._usable(values)
        self.label.append(np.array(label, np.int64))
        self.score.append(np.array(score, np.float64))
        self.texts[KEY].append(pa.array(keys, pa.string()))
        for name, arrays in self.texts.items():
            if name == KEY:
                continue
            column = values.get(name)
            if column is None:
                arrays.append(pa.nulls(len(kept), pa.string()))
                continue
            read = _method if name == "method" else text_of
            of = {value: read(value) for value in dict.fromkeys(column)}
            arrays.append(pa.array([of[column[k]] for k in kept], pa.string()))

    def _usable(self, values: dict[str, list[Any]]) -> tuple[list[int], list[str], list[int], list[float]]:
        """Places of the usable rows among these, and key, label and score of each."""
        columns, why, seen = self.columns, self.why, self.seen
        kept, keys, known, numbers = list[int](), list[str](), list[int](), list[float]()
        labels, scores = values[columns.label], values[columns.score]
        given = values.get(columns.key)
        self.keyed = self.keyed or given is not None
        for k, (label, score) in enumerate(zip(labels, scores, strict=True)):
            number = self.rows + k
            key = str(number) if given is None else text_of(given[k]) or f"row {number} of {self.where}"
            try:
                label = _label(label, columns.label)
                if type(score) is not float or not math.isfinite(score):  # most are, in parquet
                    score = number_of(score, columns.score)
            except BadValue as error:
                why.add(error.reason, f"{key[:SHOWN]}: {error.value!r:.{SHOWN}}")
                continue
            if key in seen:
                why.add(f"{columns.key} stands twice; the first row was kept", key[:SHOWN])
                continue
            seen.add(key)
            kept.append(k)
            keys.append(key)
            known.append(label)
            numbers.append(score)
        self.rows += len(labels)
        return kept, keys, known, numbers

    def left_out(self) -> list[str]:
        """How many rows were left out for what.

        Raises:
            DataError: no row is usable.
        """
        left = self.why.lines(f"of {self.rows} rows left out")
        if not self.seen:
            raise DataError(self.where, f"has no usable row: {'; '.join(left)}", "mend the file")
        return left

    def text(self, name: str) -> pa.ChunkedArray:
        """A column of text of the usable rows."""
        return pa.chunked_array(self.texts[name], pa.string())


def _groups(part: _Part, columns: Columns) -> tuple[dict[str, pa.ChunkedArray], list[str]]:
    groups, warnings = {}, []
    for kind in columns.groups:
        values = part.text(kind)
        unknown = values.null_count
        if unknown == len(values):
            warnings.append(f"no row has a {kind}: its gaps are not estimable")
            continue
        if unknown:
            warnings.append(f"{unknown} of {len(values)} rows have no {kind}: they take no part in its gaps")
        alone = sorted(name for name, n in counted(values).items() if n == 1 and name is not None)
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
    parts: dict[str, _Part | None] = {}
    for batch in _batches(path, list(needed), list(optional)):
        for name, places in _datasets(batch, path.stem).items():
            if name not in parts:
                few = len(parts) < MOST_DATASETS
                parts[name] = _Part(f"{path} ({name})", columns) if few else None
            if (part := parts[name]) is not None:
                part.add(batch, places)
    if len(parts) > MOST_DATASETS:
        why = f"has {len(parts)} datasets in its column dataset, more than {MOST_DATASETS}"
        raise DataError(str(path), why, "give each dataset one name, not each image")
    return {name: _scores_of(name, part, columns) for name, part in parts.items() if part is not None}


def _datasets(batch: dict[str, list[Any]], other: str) -> dict[str, list[int] | None]:
    """The places of each dataset's rows in a batch, in the order of the first; None where all are of one."""
    column = batch.get("dataset", [None])
    of = {value: text_of(value) or other for value in dict.fromkeys(column)}
    if len(set(of.values())) == 1:
        return {of[column[0]]: None}
    out: dict[str, list[int]] = {}
    for k, value in enumerate(column):
        out.setdefault(of[value], []).append(k)
    return dict(out)


def _scores_of(name: str, part: _Part, columns: Columns) -> Scores:
    from manifests.sanity import swapped_labels

    warnings = part.left_out()
    label, score = np.concatenate(part.label), np.concatenate(part.score)
    groups, more = _groups(part, columns)
    clusters = pc.coalesce(*map(part.text, CLUSTERS))
    if clusters.null_count == len(clusters):
        more.append("no identity_id or video_id: rows count as independent, so intervals may be too narrow")
    paths = pc.coalesce(part.text("path"), part.text("img_path"), "")
    told = (path for chunk in paths.chunks for path in chunk.to_pylist())
    return Scores.of_columns(
        name,
        part.text(KEY),
        label,
        score,
        groups,
        paths,
        warnings=(*warnings, *more, *swapped_labels(label, told), *_turned(label, score)),
        keyed=part.keyed,
        cluster=clusters,
        method=part.text("method"),
        set=part.text("counterfactual_id"),
        video=part.text("video_id"),
    )


def _turned(label: np.ndarray, score: np.ndarray) -> list[str]:
    """A warning where the scores rank the wrong way round."""
    from detector.metrics.rates import auc

    area = auc(label, score)
    return [f"AUC {area:.3f}: the labels, or the scores, may be the wrong way round"] if area < 0.3 else []
