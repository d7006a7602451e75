"""Adapter `imagefolder`: a Hugging Face ImageFolder, `<split>/metadata.csv` with `file_name` beside the images.

Reads what the exporter of that name writes; a metadata.csv of others needs `file_name` and `label`.
A row that cannot be used is left out with its reason.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from pathlib import Path

from manifests.adapters.base import ADAPTERS, SourceImage, checked
from manifests.adapters.rows import COLUMNS, PERCEIVED, line_of, source_image
from manifests.adapters.webdataset import WebDatasetParams
from manifests.errors import MissingError
from manifests.schema import SPLITS, Finding
from manifests.text_files import csv_rows
from manifests.values import relative_path

SPLIT_FOLDERS = {**{name: name for name in SPLITS}, "validation": "val"}


@ADAPTERS.register("imagefolder", family="images", params=WebDatasetParams, licence="that of each image", taxonomy="fairface4")
class ImageFolder:
    """A Hugging Face ImageFolder with metadata.csv."""

    def __init__(self, params: WebDatasetParams) -> None:
        self.params, self.annotated = params, False

    def check(self, source: Path) -> list[Finding]:
        if next(source.rglob("metadata.csv"), None):
            return []
        return [Finding("layout", f"{source} holds no metadata.csv: `fairforge export imagefolder` writes one per split")]

    def read(self, source: Path) -> Iterator[SourceImage]:
        found = self.check(source)
        if found:
            raise MissingError(str(source), found[0].message, "give the folder above train/, val/ and test/")
        for table in sorted(source.rglob("metadata.csv")):
            for where, row in csv_rows(table, ("file_name", "label"), COLUMNS):
                self.annotated |= not row.keys().isdisjoint(PERCEIVED)
                make = partial(self._row, source, table, row)
                yield checked(make, row["file_name"], line_of(where, source))

    def _row(self, source: Path, table: Path, row: dict[str, str]) -> SourceImage:
        path = table.parent / relative_path(row["file_name"], "file_name")
        folder = SPLIT_FOLDERS.get(table.parent.name.casefold(), self.params.split)
        key = path.relative_to(source).as_posix()
        return source_image(row, self.params.taxonomy, table.name, key=key, path=path, split=folder)
