"""Adapter `fairface-parquet`: aligned FairFace crops in one parquet file, perceived attributes by annotators,
all real.

Columns: file, race, gender, age, image (encoded bytes); used where there: outside_frac, yaw_proxy, sharpness,
brightness, face_prob, template_residual, landmarks5, mesh148_x64 (int16, pixels times 64). FairFace:
Kärkkäinen & Joo, WACV 2021, CC BY 4.0. A row that cannot be used is left out with its reason; rows outside
the limits asked for are not counted.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any

from pydantic import Field, field_validator

from manifests.adapters.base import ADAPTERS, SourceImage, Split, checked
from manifests.adapters.fairface import age_band
from manifests.adapters.rows import landmarks_of
from manifests.errors import DataError, MissingError
from manifests.registry import Params
from manifests.schema import Finding
from manifests.store import column_names, read_batches
from manifests.taxonomy import AGES, get_taxonomy
from manifests.values import BadValue, gender_word, is_missing, number_of, race_word

NEEDED = ("file", "race", "gender", "age", "image")
OPTIONAL = (
    "outside_frac",
    "yaw_proxy",
    "template_residual",
    "sharpness",
    "brightness",
    "face_prob",
    "mesh148_x64",
)


class FairFaceParams(Params):
    """Which rows are read. The limits apply where their column is there; None: no limit."""

    taxonomy: str = "fairface4"
    max_outside_frac: float | None = Field(None, ge=0, le=1)
    max_yaw: float | None = Field(None, ge=0)
    max_residual: float | None = Field(None, ge=0)
    min_sharpness: float | None = Field(None, ge=0)
    min_brightness: float | None = Field(None, ge=0)
    min_face_prob: float | None = Field(None, ge=0, le=1)
    ages: tuple[str, ...] = AGES
    split: Split = None

    @field_validator("taxonomy")
    @classmethod
    def _known(cls, value: str) -> str:
        return get_taxonomy(value).name


@ADAPTERS.register(
    "fairface-parquet",
    family="faces",
    params=FairFaceParams,
    licence="CC BY 4.0",
    paper="Kärkkäinen & Joo, WACV 2021",
)
class FairFaceParquet:
    """Aligned FairFace crops with perceived race, gender and age, from one parquet file."""

    annotated = True

    def __init__(self, params: FairFaceParams) -> None:
        self.params = params

    def check(self, source: Path) -> list[Finding]:
        try:
            column_names(source, NEEDED)
        except (MissingError, DataError) as error:
            return [Finding("layout", str(error))]
        return []

    def read(self, source: Path) -> Iterator[SourceImage]:
        every = (row for table in read_batches(source, NEEDED, OPTIONAL) for row in table.to_pylist())
        for number, row in enumerate(every, 1):
            item = checked(partial(self._image, row, source), row["file"], f"row {number}")
            if item.problem or (item.age in self.params.ages and self._inside(row)):
                yield item

    def _inside(self, row: Mapping[str, Any]) -> bool:
        """Whether a row is within the limits asked for.

        Raises:
            BadValue: a value that is no number.
        """
        limits = self.params
        signs = (  # whether more than the limit is too much (1) or too little (-1)
            ("outside_frac", limits.max_outside_frac, 1),
            ("yaw_proxy", limits.max_yaw, 1),
            ("template_residual", limits.max_residual, 1),
            ("sharpness", limits.min_sharpness, -1),
            ("brightness", limits.min_brightness, -1),
            ("face_prob", limits.min_face_prob, -1),
        )
        for name, limit, sign in signs:
            if limit is not None and not is_missing(row.get(name)):
                value = number_of(row[name], name)
                if sign * (abs(value) if name == "yaw_proxy" else value) > sign * limit:
                    return False
        return True

    def _image(self, row: Mapping[str, Any], source: Path) -> SourceImage:
        seven, wanted = get_taxonomy("fairface7"), get_taxonomy(self.params.taxonomy)
        if is_missing(row["file"]):
            raise BadValue("file is missing", row["file"])
        self._inside(row)
        race = seven.map_race(race_word(row["race"], seven), wanted.name)
        gender, age, mesh = gender_word(row["gender"]), age_band(row["age"]), row.get("mesh148_x64")
        return SourceImage(
            key=row["file"],
            data=row["image"],
            race=race,
            gender=gender,
            age=age,
            cell=wanted.cell(race, gender, age),
            identity_id=f"fairface:{row['file']}",
            split=self.params.split,
            landmarks=None if mesh is None else [v / 64 for v in landmarks_of(mesh) or ()],
            landmark_scheme=None if mesh is None else "mesh148",
            licence="CC BY 4.0",
            annotation_source=source.name,
            origin="photograph",
        )
