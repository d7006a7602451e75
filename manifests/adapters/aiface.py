"""Adapter `aiface`: the CSVs of AI-Face v2 (Lin et al., CVPR 2025): predicted gender, age and Monk skin tone per image.

`Image Path,Predicted Gender,Predicted Age,Skin Tone,Target,Skin Tone Group,Intersection`: gender 1 is male; tones 1-3 are
light, 4-6 medium, 7-10 dark; intersection 0-2 female light, medium, dark, 3-5 male. Skin tone is not race: taxonomy monk3.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

from pydantic import field_validator

from manifests.adapters.base import ADAPTERS, SourceImage
from manifests.errors import DataError, MissingError
from manifests.registry import Params
from manifests.schema import SPLITS, Finding, path_escapes
from manifests.taxonomy import get_taxonomy
from manifests.text_files import csv_rows

NEEDED = ("Image Path", "Predicted Gender", "Skin Tone", "Target", "Intersection")
TONES = ("light", "medium", "dark")


class AIFaceParams(Params):
    """`root`: the folder image paths are relative to (the CSV's own when None)."""

    taxonomy: str = "monk3"
    root: Path | None = None
    split: str | None = None

    @field_validator("taxonomy")
    @classmethod
    def _tones(cls, value: str) -> str:
        if value != "monk3":
            raise ValueError("AI-Face has skin tones, which map to no race: choose monk3")
        return value


def tone_group(tone: int) -> str:
    """Light (Monk 1-3), medium (4-6) or dark (7-10)."""
    return TONES[0 if tone <= 3 else 1 if tone <= 6 else 2]


def _whole(row: Mapping[str, str], name: str, where: str, low: int, high: int) -> int:
    try:
        value = float(row[name])
    except ValueError:
        value = float("nan")
    if not (low <= value <= high and value == int(value)):
        raise DataError(where, f"{name} is {row[name]!r}, not {low} to {high}", "mend the row, or fetch the CSV again")
    return int(value)


@ADAPTERS.register("aiface", family="frames", params=AIFaceParams, licence="that of each dataset",
                   paper="Lin et al., CVPR 2025 (arXiv 2406.00783)", taxonomy="monk3")
class AIFace:
    """Images named by a CSV of AI-Face v2."""

    def __init__(self, params: AIFaceParams) -> None:
        self.params = params

    def check(self, source: Path) -> list[Finding]:
        return [] if source.is_file() else [Finding("layout", f"{source} is not a CSV of AI-Face")]

    def read(self, source: Path) -> Iterator[SourceImage]:
        if not source.is_file():
            raise MissingError(str(source), "is not there", "give the path of a CSV of AI-Face")
        taxonomy = get_taxonomy(self.params.taxonomy)
        split = self.params.split or (source.stem if source.stem in SPLITS else None)
        for where, row in csv_rows(source, NEEDED):
            path = row["Image Path"].replace("\\", "/").lstrip("/")
            if path_escapes(path):
                raise DataError(where, f"the path {path!r} leaves the folder", "set root= and name images relative to it")
            label, male = _whole(row, "Target", where, 0, 1), _whole(row, "Predicted Gender", where, 0, 1)
            tone = tone_group(_whole(row, "Skin Tone", where, 1, 10))
            gender, said = "Male" if male else "Female", _whole(row, "Intersection", where, 0, 5)
            right = said == TONES.index(tone) + 3 * male
            yield SourceImage(
                key=path, path=(self.params.root or source.parent) / path, label=label, method="unknown" if label else "none",
                family="unknown" if label else "none", race=tone, gender=gender, cell=taxonomy.cell(tone, gender), split=split,
                annotation_source=source.name, dataset="aiface",
                problem=None if right else f"Intersection {said} contradicts its attributes ({tone}, {gender})",
            )
