"""Adapter `folder`: anybody's own images. Either `real/` and `fake/` sub-folders, or a CSV that names the files.

The CSV (`labels.csv` in the folder, or the source itself) has `path` and `label` (0 or real, 1 or fake), and may have race,
gender, age, identity_id, video_id, split, method, licence. With the parameter `label` that column
may be absent, and `path` be called `file`. Paths are relative to the CSV and may not leave its folder.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

from pydantic import field_validator

from manifests.adapters.base import ADAPTERS, SourceImage, left_out
from manifests.errors import DataError, MissingError, UsageError
from manifests.images import READABLE
from manifests.listing import list_files
from manifests.registry import Params
from manifests.schema import SPLITS, Finding, path_escapes
from manifests.taxonomy import SPREADSHEET_AGES, get_taxonomy

LABELS = {"0": 0, "real": 0, "1": 1, "fake": 1}


class FolderParams(Params):
    """`csv`: the label file's name in the folder. `licence` of every image that names none.

    `label` of all images, for a CSV without that column.
    """

    taxonomy: str = "fairface4"
    csv: str = "labels.csv"
    licence: str | None = None
    split: str | None = None
    label: Literal["real", "fake"] | None = None

    @field_validator("taxonomy")
    @classmethod
    def _known(cls, value: str) -> str:
        return get_taxonomy(value).name


@ADAPTERS.register("folder", family="faces", params=FolderParams)
class Folder:
    """Images in `real/` and `fake/`, or named by a CSV with labels."""

    def __init__(self, params: FolderParams) -> None:
        self.params = params

    def _csv(self, source: Path) -> Path | None:
        path = source if source.suffix == ".csv" else source / self.params.csv
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
        try:
            text = table.read_text(encoding="utf-8-sig")
        except UnicodeDecodeError as error:
            raise DataError(str(table), f"is not UTF-8 ({error})", "save it as UTF-8") from error
        with io.StringIO(text, newline="") as file:
            reader = csv.DictReader(file)
            try:
                names = set(reader.fieldnames or [])
                if self.params.label:
                    names |= {"label"} | ({"path"} if "file" in names else set())
                lacking = {"path", "label"} - names
                if lacking:
                    raise DataError(str(table), f"lacks the columns {', '.join(sorted(lacking))}", "it needs path and label")
                for number, row in enumerate(reader, 2):
                    yield self._row(table, number, {k: (v or "").strip() or None for k, v in row.items() if k})
            except csv.Error as error:
                raise DataError(f"{table} line {reader.line_num + 1}", f"is not CSV ({error})", "close its quotes") from error

    def _row(self, table: Path, number: int, row: dict[str, str | None]) -> SourceImage:
        where, name = f"{table} line {number}", row.get("path") or row.get("file") or ""
        if path_escapes(name):
            raise UsageError(where, f"the path {name!r} leaves the folder", "name files below the CSV's folder")
        given = (row.get("label") or self.params.label or "").lower()
        if given not in LABELS:
            raise UsageError(where, f"label {row.get('label')!r} is not real, fake, 0 or 1", "mend the label")
        label = LABELS[given]
        split = row.get("split") or self.params.split
        if split is not None and split not in SPLITS:
            raise UsageError(where, f"split {split!r} is not known", f"choose one of: {', '.join(SPLITS)}")
        taxonomy = get_taxonomy(self.params.taxonomy)
        race, gender, age = row.get("race"), row.get("gender"), row.get("age")
        age = SPREADSHEET_AGES.get(age or "", age)
        annotated = any((race, gender, age))
        return SourceImage(
            key=name, path=table.parent / name, label=label, method=(row.get("method") or "unknown") if label else "none",
            family="unknown" if label else "none", race=race, gender=gender, age=age,
            cell=taxonomy.cell(race, gender, age), identity_id=row.get("identity_id"), video_id=row.get("video_id"),
            split=split, licence=row.get("licence") or self.params.licence,
            annotation_source=table.name if annotated else None,
        )
