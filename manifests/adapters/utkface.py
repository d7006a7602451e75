"""Adapter `utkface`: UTKFace (Zhang, Song, Qi, CVPR 2017), whose file names say age, gender and race; all
real.

`<age>_<gender>_<race>_<time>.jpg`: gender 0 male, 1 female; race 0 White, 1 Black, 2 Asian, 3 Indian, 4
others. Some names lack a part, which shifts the others: a name without four parts, or with a part out of
range, is left out with that reason.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from pydantic import field_validator

from manifests.adapters.base import ADAPTERS, SourceImage, Split, left_out
from manifests.errors import MissingError
from manifests.images import READABLE
from manifests.listing import list_files
from manifests.registry import Params
from manifests.schema import Finding
from manifests.taxonomy import AGES, get_taxonomy

RACES = ("White", "Black", "Asian", "Indian", None)
NAME = re.compile(r"^(\d{1,3})_([01])_([0-4])_(\d{8,})$")
FIRST_YEARS = (0, 3, 10, 20, 30, 40, 50, 60, 70)


class UTKFaceParams(Params):
    """Taxonomy fairface4, or one it maps to."""

    taxonomy: str = "fairface4"
    split: Split = None

    @field_validator("taxonomy")
    @classmethod
    def _known(cls, value: str) -> str:
        return get_taxonomy(value).name


def age_band(years: int) -> str:
    """The age band of FairFace that a number of years falls into."""
    return AGES[sum(years >= first for first in FIRST_YEARS) - 1]


@ADAPTERS.register(
    "utkface",
    family="faces",
    params=UTKFaceParams,
    licence="non-commercial research only",
    paper="Zhang, Song, Qi, CVPR 2017",
    taxonomy="fairface4",
)
class UTKFace:
    """UTKFace's photographs or aligned crops, in one folder or several parts."""

    annotated = True

    def __init__(self, params: UTKFaceParams) -> None:
        self.params = params

    def check(self, source: Path) -> list[Finding]:
        if source.is_dir() and any("_" in path.name for path in list_files(source, READABLE).files):
            return []
        return [Finding("layout", f"{source} holds no file named <age>_<gender>_<race>_<time>.jpg")]

    def read(self, source: Path) -> Iterator[SourceImage]:
        found = self.check(source)
        if found:
            raise MissingError(str(source), found[0].message, "unpack UTKFace here")
        four, wanted = get_taxonomy("fairface4"), get_taxonomy(self.params.taxonomy)
        listing = list_files(source, READABLE)
        yield from left_out(listing, "", dataset="utkface")
        for path in listing.files:
            key = path.relative_to(source).as_posix()
            match = NAME.match(path.name.split(".")[0])
            if match is None:
                yield SourceImage(
                    key=key, problem="its name is not <age>_<gender>_<race>_<time>", dataset="utkface"
                )
                continue
            race = four.map_race(RACES[int(match[3])], wanted.name)
            gender = "Female" if match[2] == "1" else "Male"
            yield SourceImage(
                key=key,
                path=path,
                race=race,
                gender=gender,
                age=age_band(int(match[1])),
                cell=wanted.cell(race, gender),
                split=self.params.split,
                annotation_source="file name",
                dataset="utkface",
                licence="non-commercial research only",
                origin="photograph",
            )
