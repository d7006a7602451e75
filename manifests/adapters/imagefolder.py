"""Adapter `imagefolder`: a Hugging Face ImageFolder, `<split>/metadata.csv` with `file_name` beside the images.

Reads what the exporter of that name writes; a metadata.csv of others needs `file_name` and `label` (0, 1, real or fake).
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from manifests.adapters.base import ADAPTERS, SourceImage
from manifests.adapters.webdataset import WebDatasetParams, source_image
from manifests.errors import DataError, MissingError
from manifests.schema import SPLITS, Finding, path_escapes
from manifests.text_files import csv_rows

LABELS: dict[str, int] = {"0": 0, "real": 0, "1": 1, "fake": 1}


@ADAPTERS.register("imagefolder", family="images", params=WebDatasetParams, licence="that of each image", taxonomy="fairface4")
class ImageFolder:
    """A Hugging Face ImageFolder with metadata.csv."""

    def __init__(self, params: WebDatasetParams) -> None:
        self.params = params

    def check(self, source: Path) -> list[Finding]:
        if next(source.rglob("metadata.csv"), None):
            return []
        return [Finding("layout", f"{source} holds no metadata.csv: `fairforge export imagefolder` writes one per split")]

    def read(self, source: Path) -> Iterator[SourceImage]:
        found = self.check(source)
        if found:
            raise MissingError(str(source), found[0].message, "give the folder above train/, val/ and test/")
        for table in sorted(source.rglob("metadata.csv")):
            split = table.parent.name if table.parent.name in SPLITS else self.params.split
            for where, row in csv_rows(table, ("file_name", "label")):
                if path_escapes(row["file_name"]):
                    raise DataError(where, f"the path {row['file_name']!r} leaves the folder", "mend the row")
                path = table.parent / row["file_name"]
                values = {**{k: v for k, v in row.items() if v}, "label": LABELS.get(row["label"].lower())}
                annotated = table.name if values.get("race") or values.get("gender") else None
                yield source_image(values, self.params.taxonomy, where, key=path.relative_to(source).as_posix(), path=path,
                                   split=split, annotation_source=annotated)
