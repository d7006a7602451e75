"""Adapter `folder`: anybody's own images. Either `real/` and `fake/` sub-folders, or a CSV that names the files.

The CSV (`labels.csv` in the folder, or the source itself) has `path` and `label` (0, false or real; 1, true or fake),
and may have race, gender, age, identity_id, pair_id, video_id, split, method, family, licence, consent, origin
(photograph or synthetic), dataset. With the parameter `label` that column may be absent, and `path` be called `file`.
Paths are relative to the CSV. A row that cannot be used is left out with its reason.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Literal

from pydantic import field_validator

from manifests.adapters.base import ADAPTERS, SourceImage, Split, checked, left_out
from manifests.adapters.rows import COLUMNS, PERCEIVED, line_of, source_image
from manifests.errors import MissingError
from manifests.images import READABLE
from manifests.listing import list_files
from manifests.registry import Params
from manifests.schema import Finding
from manifests.taxonomy import get_taxonomy
from manifests.text_files import csv_rows
from manifests.values import is_missing, relative_path


class FolderParams(Params):
    """`csv`: the label file's name in the folder. `licence` of every image that names none.

    `label` of all images, for a CSV without that column.
    """

    taxonomy: str = "fairface4"
    csv: str = "labels.csv"
    licence: str | None = None
    split: Split = None
    label: Literal["real", "fake"] | None = None

    @field_validator("taxonomy")
    @classmethod
    def _known(cls, value: str) -> str:
        return get_taxonomy(value).name


@ADAPTERS.register("folder", family="faces", params=FolderParams)
class Folder:
    """Images in `real/` and `fake/`, or named by a CSV with labels."""

    def __init__(self, params: FolderParams) -> None:
        self.params, self.annotated = params, False

    def _csv(self, source: Path) -> Path | None:
        path = source if source.suffix.lower() in (".csv", ".tsv") else source / self.params.csv
        return path if path.is_file() else None

    def check(self, source: Path) -> list[Finding]:
        if self._csv(source) or any((source / kind).is_dir() for kind in ("real", "fake")):
            return []
        return [Finding("layout", f"{source} has neither {self.params.csv} nor a folder real/ or fake/")]

    def read(self, source: Path) -> Iterator[SourceImage]:
        found = self.check(source)
        if found:
            raise MissingError(str(source), found[0].message, "lay the images out as real/ and fake/, or write a CSV")
        table = self._csv(source)
        yield from self._rows(table) if table else self._folders(source)

    def _folders(self, source: Path) -> Iterator[SourceImage]:
        for kind, label in (("real", 0), ("fake", 1)):
            if not (source / kind).is_dir():
                continue
            listing = list_files(source / kind, READABLE)
            for path in listing.files:
                key = path.relative_to(source).as_posix()
                yield SourceImage(
                    key=key, path=path, label=label, method="unknown" if label else "none",
                    family="unknown" if label else "none", licence=self.params.licence, split=self.params.split,
                )
            yield from left_out(listing, f"{kind}/")

    def _rows(self, table: Path) -> Iterator[SourceImage]:
        needed, also = (("path",), {"path": "file"}) if self.params.label else (("path", "label"), {})
        for where, row in csv_rows(table, needed, COLUMNS, also):
            self.annotated |= not row.keys().isdisjoint(PERCEIVED)
            yield checked(partial(self._row, table, row), row["path"], line_of(where, table.parent))

    def _row(self, table: Path, row: dict[str, str]) -> SourceImage:
        name = relative_path(row["path"])
        label = row.get("label")
        return source_image(
            {**row, "label": self.params.label if self.params.label and is_missing(label) else label},
            self.params.taxonomy, table.name, key=name, path=table.parent / name, split=self.params.split,
            licence=self.params.licence,
        )
