"""Adapter `fairface`: FairFace as its authors give it, `fairface_label_{train,val}.csv` beside `train/` and
`val/`; all real.

Some copies of the CSV went through a spreadsheet, which made dates of the ages 3-9 and 10-19: they are
mended. A row that cannot be used, and a picture that no row names, is left out with its reason.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import partial
from pathlib import Path

from pydantic import field_validator

from manifests.adapters.base import ADAPTERS, SourceImage, checked
from manifests.adapters.rows import line_of
from manifests.adapters.unlisted import Named, unlisted
from manifests.containment import inside
from manifests.errors import MissingError
from manifests.registry import Params
from manifests.schema import Finding
from manifests.taxonomy import AGES, get_taxonomy
from manifests.text_files import csv_rows
from manifests.values import BadValue, age_word, gender_word, race_word, relative_path

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


def age_band(value: object) -> str:
    """FairFace's age band.

    Raises:
        BadValue: missing, or no band of FairFace.
    """
    age = age_word(value)
    if age not in AGES:
        raise BadValue("age is missing" if age is None else "age is no band of FairFace", value)
    return age


@ADAPTERS.register(
    "fairface",
    family="faces",
    params=FairFaceCsvParams,
    licence="CC BY 4.0",
    paper="Kärkkäinen & Joo, WACV 2021",
    taxonomy="fairface4",
)
class FairFace:
    """FairFace's own folders and CSVs."""

    annotated = True

    def __init__(self, params: FairFaceCsvParams) -> None:
        self.params = params

    def check(self, source: Path) -> list[Finding]:
        wanted = [name for split in self.params.splits for name in (f"fairface_label_{split}.csv", split)]
        return [
            Finding("layout", f"{name} is missing: FairFace's page has it")
            for name in wanted
            if not (source / name).exists()
        ]

    def read(self, source: Path) -> Iterator[SourceImage]:
        found = self.check(source)
        if found:
            raise MissingError(
                str(source), "; ".join(f.message for f in found), "fetch it, or choose splits that are here"
            )
        named = Named()
        for split in self.params.splits:
            table = source / f"fairface_label_{split}.csv"
            for where, row in csv_rows(table, ("file", "age", "gender", "race")):
                named.add(row["file"])
                make = partial(self._image, source, table, split, row)
                item = checked(make, row["file"], line_of(where, source))
                if item.problem or item.age in self.params.ages:
                    yield item
        tables = " or ".join(f"fairface_label_{split}.csv" for split in self.params.splits)
        yield from unlisted(source, (source / split for split in self.params.splits), named.paths, tables)

    def _image(self, source: Path, table: Path, split: str, row: Mapping[str, str]) -> SourceImage:
        seven, wanted = get_taxonomy("fairface7"), get_taxonomy(self.params.taxonomy)
        file, age = relative_path(row["file"], "file"), age_band(row["age"])
        race, gender = seven.map_race(race_word(row["race"], seven), wanted.name), gender_word(row["gender"])
        return SourceImage(
            key=file,
            path=inside(source, file, links=True),
            race=race,
            gender=gender,
            age=age,
            cell=wanted.cell(race, gender, age),
            identity_id=f"fairface:{file}",
            split=split,
            licence="CC BY 4.0",
            annotation_source=table.name,
            dataset="fairface",
            origin="photograph",
        )
