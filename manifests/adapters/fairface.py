"""Adapter `fairface`: FairFace as its authors give it, `fairface_label_{train,val}.csv` beside `train/` and `val/`; all real.

Some copies of the CSV went through a spreadsheet, which made dates of the ages 3-9 and 10-19: they are mended.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from pydantic import field_validator

from manifests.adapters.base import ADAPTERS, SourceImage
from manifests.errors import DataError, MissingError
from manifests.registry import Params
from manifests.schema import Finding, path_escapes
from manifests.taxonomy import AGES, SPREADSHEET_AGES, get_taxonomy
from manifests.text_files import csv_rows

SPLITS = ("train", "val")


class FairFaceCsvParams(Params):
    """`splits`: which of train and val. `ages`: which are kept."""

    taxonomy: str = "fairface4"
    splits: tuple[str, ...] = SPLITS
    ages: tuple[str, ...] = AGES

    @field_validator("taxonomy")
    @classmethod
    def _known(cls, value: str) -> str:
        return get_taxonomy(value).name


@ADAPTERS.register("fairface", family="faces", params=FairFaceCsvParams, licence="CC BY 4.0",
                   paper="Kärkkäinen & Joo, WACV 2021", taxonomy="fairface4")
class FairFace:
    """FairFace's own folders and CSVs."""

    def __init__(self, params: FairFaceCsvParams) -> None:
        self.params = params

    def check(self, source: Path) -> list[Finding]:
        wanted = [name for split in self.params.splits for name in (f"fairface_label_{split}.csv", split)]
        return [Finding("layout", f"{name} is missing: FairFace's page has it") for name in wanted if not (source / name).exists()]

    def read(self, source: Path) -> Iterator[SourceImage]:
        found = self.check(source)
        if found:
            raise MissingError(str(source), "; ".join(f.message for f in found), "fetch it, or choose splits that are here")
        seven, wanted = get_taxonomy("fairface7"), get_taxonomy(self.params.taxonomy)
        for split in self.params.splits:
            table = source / f"fairface_label_{split}.csv"
            for where, row in csv_rows(table, ("file", "age", "gender", "race")):
                if path_escapes(row["file"]):
                    raise DataError(where, f"names {row['file']!r}, which leaves the folder", "fetch the CSV again")
                age = SPREADSHEET_AGES.get(row["age"], row["age"])
                if age not in AGES:
                    raise DataError(where, f"has age {row['age']!r}", f"known: {', '.join(AGES)}")
                if age not in self.params.ages:
                    continue
                race = seven.map_race(row["race"], wanted.name)
                yield SourceImage(
                    key=row["file"], path=source / row["file"], race=race, gender=row["gender"], age=age,
                    cell=wanted.cell(race, row["gender"]), identity_id=f"fairface:{row['file']}", split=split,
                    licence="CC BY 4.0", annotation_source=table.name, dataset="fairface",
                )
