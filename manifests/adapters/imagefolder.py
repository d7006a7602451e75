"""Adapter `imagefolder`: a Hugging Face ImageFolder, `<split>/metadata.parquet` or metadata.csv with `file_name`.

Reads what the exporter of that name writes; the metadata of others need `file_name` and `label` (0, 1, real or fake).
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from manifests.adapters.base import ADAPTERS, SourceImage
from manifests.adapters.webdataset import WebDatasetParams, source_image
from manifests.errors import DataError, MissingError
from manifests.schema import SPLITS, Finding, path_escapes
from manifests.store import read_table
from manifests.text_files import csv_rows

LABELS: dict[str, int] = {"0": 0, "real": 0, "1": 1, "fake": 1}
METADATA = ("metadata.csv", "metadata.parquet")


def _tables(source: Path) -> list[Path]:
    return sorted(path for name in METADATA for path in source.rglob(name))


def _rows(table: Path) -> Iterator[tuple[str, dict[str, str]]]:
    """`(where, row)` of every row, as text; what is unknown is empty."""
    needed = ("file_name", "label")
    if table.suffix == ".csv":
        yield from csv_rows(table, needed)
        return
    for number, row in enumerate(read_table(table, needed).to_pylist(), 1):
        yield f"{table} row {number}", {name: "" if value is None else str(value) for name, value in row.items()}


@ADAPTERS.register("imagefolder", family="images", params=WebDatasetParams, licence="that of each image", taxonomy="fairface4")
class ImageFolder:
    """A Hugging Face ImageFolder with metadata.parquet or metadata.csv."""

    def __init__(self, params: WebDatasetParams) -> None:
        self.params = params

    def check(self, source: Path) -> list[Finding]:
        if _tables(source):
            return []
        names = " or ".join(METADATA)
        return [Finding("layout", f"{source} holds no {names}: `fairforge export imagefolder` writes one per split")]

    def read(self, source: Path) -> Iterator[SourceImage]:
        found = self.check(source)
        if found:
            raise MissingError(str(source), found[0].message, "give the folder above train/, val/ and test/")
        for table in _tables(source):
            split = table.parent.name if table.parent.name in SPLITS else self.params.split
            for where, row in _rows(table):
                if path_escapes(row["file_name"]):
                    raise DataError(where, f"the path {row['file_name']!r} leaves the folder", "mend the row")
                path = table.parent / row["file_name"]
                values = {**{k: v for k, v in row.items() if v}, "label": LABELS.get(row["label"].lower())}
                annotated = table.name if values.get("race") or values.get("gender") else None
                yield source_image(values, self.params.taxonomy, where, key=path.relative_to(source).as_posix(), path=path,
                                   split=split, annotation_source=annotated)
