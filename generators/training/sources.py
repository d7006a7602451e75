"""Where training images come from: a folder, an official dataset zip with `dataset.json`, or parquet with an
`image` column.
"""

from __future__ import annotations

import re
import zipfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from manifests.archives import BROKEN, open_archive, read_member
from manifests.errors import DataError, MissingError, UsageError, UserError
from manifests.escaping import printable
from manifests.images import BYTES_TEXT, MAX_BYTES, READABLE, read_bytes
from manifests.listing import MASK, is_junk, list_files
from manifests.registry import nearest
from manifests.store import column_names, read_batches
from manifests.text_files import parse_json

_CONDITION = re.compile(r"^\s*(abs\()?\s*(\w+)\s*\)?\s*(<=|>=|==|!=|<|>)\s*(.+?)\s*$")
_COMPARE = {
    "<": pc.less,
    "<=": pc.less_equal,
    ">": pc.greater,
    ">=": pc.greater_equal,
    "==": pc.equal,
    "!=": pc.not_equal,
}
_ROW = "__row"
"""The number of a row in its file, as a column."""

Item = tuple[str, bytes | UserError, Any]
"""Name, encoded image or why there is none, label (None where there is none)."""
MOST_LABELS = 256 << 20
"""Bytes of a dataset.json in a zip: the labels of some five million images."""


def _labels_of(text: bytes, where: str) -> dict[str, Any]:
    """`{"labels": [[file, label], ...]}` of an official dataset.json, by file name."""
    try:
        listed = parse_json(text, where, dict).get("labels") or []
        return {str(name).replace("\\", "/"): label for name, label in listed}
    except (ValueError, TypeError) as error:
        raise DataError(
            where, f"is not an official dataset.json ({error})", 'it holds {"labels": [[file, class], ...]}'
        ) from error


def _of_folder(folder: Path) -> Iterator[Item]:
    table = folder / "dataset.json"
    labels = _labels_of(table.read_bytes(), str(table)) if table.is_file() else {}
    listing = list_files(folder, READABLE)
    for path in listing.files:
        name = path.relative_to(folder).as_posix()
        yield name, _read(path), labels.get(name)
    for one in listing.left:
        if one.name != table.name:
            yield one.name, DataError(one.name, one.reason, "remove it"), None


def _read(path: Path) -> bytes | UserError:
    try:
        return read_bytes(path)
    except UserError as error:
        return error


def _member(archive: zipfile.ZipFile, name: str) -> bytes | UserError:
    """A member's bytes, or why there are none; one that says it is too large is not unpacked."""
    info = archive.getinfo(name)
    if info.file_size > MAX_BYTES:
        return DataError(name, BYTES_TEXT, "scale it down first")
    try:
        return read_member(archive, info, MAX_BYTES)
    except BROKEN as error:
        return DataError(name, f"cannot be unpacked ({printable(str(error))})", "make the zip again")


def _is_picture(name: str) -> bool:
    return name.lower().endswith(READABLE) and not name.lower().endswith(MASK) and not is_junk(name)


def _of_zip(path: Path) -> Iterator[Item]:
    try:
        with open(path, "rb") as file, open_archive(file) as archive:
            names, labels = archive.namelist(), {}
            if "dataset.json" in names:
                found = read_member(archive, archive.getinfo("dataset.json"), MOST_LABELS)
                labels = _labels_of(found, f"{path}: dataset.json")
            for name in sorted(filter(_is_picture, names)):
                yield printable(name), _member(archive, name), labels.get(name)
    except BROKEN as error:
        raise DataError(str(path), f"is not a readable zip ({error})", "fetch or make it again") from error


def _compared(keep: Sequence[str], names: list[str], where: str) -> list[str]:
    """The columns that conditions compare.

    Args:
        keep: the conditions.
        names: the columns that there are.
        where: the file, for messages.

    Raises:
        UsageError: no comparison, or of a column that is not there.
    """
    out = []
    for condition in keep:
        found = _CONDITION.match(condition)
        if not found:
            raise UsageError(
                f"--keep {condition!r}", "is not a comparison", "for example --keep 'abs(yaw_proxy)<0.3'"
            )
        if found[2] not in names:
            why = f"{where} has no column {found[2]}{nearest(found[2], names)}"
            raise UsageError(f"--keep {condition!r}", why, "name one of its columns")
        out.append(found[2])
    return out


def _filtered(table: pa.Table, keep: Sequence[str]) -> pa.Table:
    for condition in keep:
        found = _CONDITION.match(condition)
        assert found is not None, "seen by _compared"
        absolute, name, comparison, text = found.groups()
        column = table.column(name)
        try:
            value = pa.scalar(text, pa.string()).cast(column.type)
            table = table.filter(_COMPARE[comparison](pc.abs(column) if absolute else column, value))
        except (pa.ArrowInvalid, pa.ArrowNotImplementedError) as error:
            why = f"cannot be compared ({error})"
            raise UsageError(f"--keep {condition!r}", why, "give a value of the column's kind") from error
    return table


def _joined(columns: list[list[Any]], count: int) -> list[Any]:
    """Labels of one column as they are, of several as `a/b`; None where a part is missing, or there are no
    columns.
    """
    if len(columns) == 1:
        return columns[0]
    rows = zip(*columns, strict=True) if columns else ((None,) for _ in range(count))
    return [None if None in row else "/".join(map(str, row)) for row in rows]


def _of_parquet(path: Path, keep: Sequence[str], label_column: str | None) -> Iterator[Item]:
    columns = label_column.split(",") if label_column else []
    names = column_names(path, ["image", *columns])
    compared = _compared(keep, names, str(path))
    start = 0
    for batch in read_batches(path, ["image", *columns], [*compared, "file"]):
        rows = batch.append_column(_ROW, pa.array(range(start, start + batch.num_rows)))
        start += batch.num_rows
        table = _filtered(rows, keep)
        files = table.column("file" if "file" in table.column_names else _ROW).to_pylist()
        labels = _joined([table.column(name).to_pylist() for name in columns], table.num_rows)
        for name, data, label in zip(files, table.column("image").to_pylist(), labels, strict=True):
            yield f"{path.name}:{name}", data or b"", label


def read_source(source: Path, keep: Sequence[str] = (), label_column: str | None = None) -> Iterator[Item]:
    """Every image of a source in a fixed order: (name, encoded bytes, label).

    Args:
        source: a folder of images; a folder of `*.parquet`; a parquet file; or a zip in the official layout.
        keep: comparisons on parquet columns, all of which must hold, e.g. `outside_frac<0.1`,
            `abs(yaw_proxy)<0.3`, `age!=0-2`.
        label_column: of parquet files, or several with commas between (`race,gender`: labels `Black/Female`);
            folders and zips have their labels in `dataset.json`.

    Raises:
        MissingError: no such source, or no image in it. DataError: unreadable, or without its columns.
        UsageError: a condition that is none, or conditions where there are no columns.
    """
    if not source.exists():
        raise MissingError(str(source), "is not there", "give a folder, a zip or parquet")
    tables = (
        sorted(source.glob("*.parquet"))
        if source.is_dir()
        else [source]
        if source.suffix == ".parquet"
        else []
    )
    if tables:
        for table in tables:
            yield from _of_parquet(table, keep, label_column)
        return
    if keep or label_column:
        raise UsageError(str(source), "has no columns to choose by", "leave --keep and --label-column out")
    if source.is_dir():
        yield from _of_folder(source)
    elif source.suffix.lower() == ".zip":
        yield from _of_zip(source)
    else:
        raise UsageError(str(source), "is neither a folder, a zip nor parquet", "give one of these")
