"""Adapter `fairface-parquet`: aligned FairFace crops in one parquet file, perceived attributes by annotators, all real.

Columns: file, race, gender, age, image (encoded bytes); used where there: outside_frac, yaw_proxy, sharpness, brightness,
face_prob, template_residual, landmarks5, mesh148_x64 (int16, pixels times 64). FairFace: Kärkkäinen & Joo, WACV 2021, CC BY 4.0.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from pydantic import Field, ValidationError, field_validator

from manifests.adapters.base import ADAPTERS, SourceImage
from manifests.errors import DataError, MissingError
from manifests.registry import Params
from manifests.schema import Finding
from manifests.store import column_names, read_batches
from manifests.taxonomy import AGES, SPREADSHEET_AGES, get_taxonomy

NEEDED = ("file", "race", "gender", "age", "image")
OPTIONAL = ("outside_frac", "yaw_proxy", "template_residual", "sharpness", "brightness", "face_prob", "mesh148_x64")


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
    split: str | None = None

    @field_validator("taxonomy")
    @classmethod
    def _known(cls, value: str) -> str:
        return get_taxonomy(value).name


@ADAPTERS.register("fairface-parquet", family="faces", params=FairFaceParams, licence="CC BY 4.0",
                   paper="Kärkkäinen & Joo, WACV 2021")
class FairFaceParquet:
    """Aligned FairFace crops with perceived race, gender and age, from one parquet file."""

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
            try:
                row["age"] = SPREADSHEET_AGES.get(row["age"], row["age"])
                image = self._image(row, source) if self._kept(row) else None
            except ValidationError as error:
                what = f"{error.errors()[0]['loc'][0]}: {error.errors()[0]['msg']}"
                raise DataError(f"{source} row {number}", f"is of another kind ({what})", "mend or drop the row") from error
            if image is not None:
                yield image

    def _kept(self, row: dict[str, Any]) -> bool:
        limits = self.params
        tests: tuple[tuple[str, float | None, Callable[[float, float], bool]], ...] = (
            ("outside_frac", limits.max_outside_frac, lambda v, limit: v <= limit),
            ("yaw_proxy", limits.max_yaw, lambda v, limit: abs(v) <= limit),
            ("template_residual", limits.max_residual, lambda v, limit: v <= limit),
            ("sharpness", limits.min_sharpness, lambda v, limit: v >= limit),
            ("brightness", limits.min_brightness, lambda v, limit: v >= limit),
            ("face_prob", limits.min_face_prob, lambda v, limit: v >= limit),
        )
        inside = all(limit is None or row.get(name) is None or test(row[name], limit) for name, limit, test in tests)
        return inside and row["age"] in limits.ages

    def _image(self, row: dict[str, Any], source: Path) -> SourceImage:
        seven, wanted = get_taxonomy("fairface7"), get_taxonomy(self.params.taxonomy)
        race = seven.map_race(row["race"], wanted.name) if row["race"] in seven.races else None
        mesh = row.get("mesh148_x64")
        return SourceImage(
            key=row["file"], data=row["image"], race=race, gender=row["gender"], age=row["age"],
            cell=wanted.cell(race, row["gender"], row["age"]), identity_id=f"fairface:{row['file']}", split=self.params.split,
            landmarks=None if mesh is None else [v / 64 for v in mesh],
            landmark_scheme=None if mesh is None else "mesh148", licence="CC BY 4.0", annotation_source=source.name,
        )
