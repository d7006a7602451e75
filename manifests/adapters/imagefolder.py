"""Adapter `imagefolder`: a Hugging Face ImageFolder, `<split>/metadata.parquet` or metadata.csv with
`file_name`.

Reads what the exporter of that name writes; the metadata of others need `file_name` and `label`.
A row that cannot be used, and a picture that no metadata names, is left out with its reason.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

from manifests.adapters.base import ADAPTERS, SourceImage, checked
from manifests.adapters.rows import COLUMNS, PERCEIVED, line_of, source_image
from manifests.adapters.unlisted import Named, unlisted
from manifests.adapters.webdataset import WebDatasetParams
from manifests.containment import inside
from manifests.errors import MissingError
from manifests.schema import SPLITS, Finding
from manifests.store import read_table
from manifests.text_files import csv_rows
from manifests.values import relative_path

SPLIT_FOLDERS = {**{name: name for name in SPLITS}, "validation": "val"}
METADATA = ("metadata.csv", "metadata.parquet")
NEEDED = ("file_name", "label")


def _tables(source: Path) -> list[Path]:
    return sorted(path for name in METADATA for path in source.rglob(name))


def _rows(table: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    """`(where, row)` of every row of a metadata file."""
    if table.suffix == ".csv":
        yield from csv_rows(table, NEEDED, COLUMNS)
        return
    for number, row in enumerate(read_table(table, NEEDED).to_pylist(), 1):
        yield f"{table} row {number}", row


@ADAPTERS.register(
    "imagefolder",
    family="images",
    params=WebDatasetParams,
    licence="that of each image",
    taxonomy="fairface4",
)
class ImageFolder:
    """A Hugging Face ImageFolder with metadata.parquet or metadata.csv."""

    def __init__(self, params: WebDatasetParams) -> None:
        self.params, self.annotated = params, False

    def check(self, source: Path) -> list[Finding]:
        if _tables(source):
            return []
        names = " or ".join(METADATA)
        return [
            Finding(
                "layout", f"{source} holds no {names}: `fairforge export imagefolder` writes one per split"
            )
        ]

    def read(self, source: Path) -> Iterator[SourceImage]:
        found = self.check(source)
        if found:
            raise MissingError(str(source), found[0].message, "give the folder above train/, val/ and test/")
        named = Named()
        for table in _tables(source):
            below = "" if table.parent == source else f"{table.parent.relative_to(source).as_posix()}/"
            for where, row in _rows(table):
                named.add(row["file_name"], below)
                self.annotated |= not row.keys().isdisjoint(PERCEIVED)
                make = partial(self._row, source, table, row)
                yield checked(make, row["file_name"], line_of(where, source))
        yield from unlisted(source, [source], named.paths, " or ".join(METADATA))

    def _row(self, source: Path, table: Path, row: dict[str, Any]) -> SourceImage:
        path = inside(table.parent, relative_path(row["file_name"], "file_name"), links=True)
        folder = SPLIT_FOLDERS.get(table.parent.name.casefold(), self.params.split)
        key = path.relative_to(source).as_posix()
        return source_image(row, self.params.taxonomy, table.name, key=key, path=path, split=folder)
