"""Adapter `aiface`: the CSVs of AI-Face v2 (Lin et al., CVPR 2025): predicted gender, age and Monk skin tone
per image.

`Image Path,Predicted Gender,Predicted Age,Skin Tone,Target,Skin Tone Group,Intersection`: gender 1 is male;
tones 1-3 are light, 4-6 medium, 7-10 dark; intersection 0-2 female light, medium, dark, 3-5 male. Skin tone
is not race: taxonomy monk3. A row that cannot be used, or whose intersection contradicts its attributes, is
left out with that reason.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import partial
from pathlib import Path

from pydantic import field_validator

from manifests.adapters.base import ADAPTERS, SourceImage, Split, checked
from manifests.adapters.rows import line_of
from manifests.containment import inside
from manifests.errors import MissingError
from manifests.registry import Params
from manifests.schema import SPLITS, Finding
from manifests.taxonomy import get_taxonomy
from manifests.text_files import csv_rows
from manifests.values import BadValue, integer_of, is_missing, label_of, relative_path

NEEDED = ("Image Path", "Predicted Gender", "Skin Tone", "Target", "Intersection")
TONES = ("light", "medium", "dark")


class AIFaceParams(Params):
    """`root`: the folder image paths are relative to (the CSV's own when None)."""

    taxonomy: str = "monk3"
    root: Path | None = None
    split: Split = None

    @field_validator("taxonomy")
    @classmethod
    def _tones(cls, value: str) -> str:
        if value != "monk3":
            raise ValueError("AI-Face has skin tones, which map to no race: choose monk3")
        return value


def tone_group(tone: int) -> str:
    """Light (Monk 1-3), medium (4-6) or dark (7-10)."""
    return TONES[0 if tone <= 3 else 1 if tone <= 6 else 2]


def _whole(row: Mapping[str, str], name: str, low: int, high: int) -> int | None:
    return None if is_missing(row[name]) else integer_of(row[name], name, low, high)


@ADAPTERS.register(
    "aiface",
    family="frames",
    params=AIFaceParams,
    licence="that of each dataset",
    paper="Lin et al., CVPR 2025 (arXiv 2406.00783)",
    taxonomy="monk3",
)
class AIFace:
    """Images named by a CSV of AI-Face v2."""

    annotated = True

    def __init__(self, params: AIFaceParams) -> None:
        self.params = params

    def check(self, source: Path) -> list[Finding]:
        return [] if source.is_file() else [Finding("layout", f"{source} is not a CSV of AI-Face")]

    def read(self, source: Path) -> Iterator[SourceImage]:
        if not source.is_file():
            raise MissingError(str(source), "is not there", "give the path of a CSV of AI-Face")
        split = self.params.split or (source.stem if source.stem in SPLITS else None)
        for where, row in csv_rows(source, NEEDED):
            make = partial(self._image, source, split, row)
            yield checked(make, row["Image Path"], line_of(where, source.parent))

    def _image(self, source: Path, split: str | None, row: Mapping[str, str]) -> SourceImage:
        path = relative_path(row["Image Path"].replace("\\", "/").lstrip("/"), "Image Path")
        label, male = label_of(row["Target"], "Target"), _whole(row, "Predicted Gender", 0, 1)
        shade, said = _whole(row, "Skin Tone", 1, 10), _whole(row, "Intersection", 0, 5)
        tone = None if shade is None else tone_group(shade)
        gender = None if male is None else "Male" if male else "Female"
        if None not in (tone, male, said) and said != TONES.index(str(tone)) + 3 * int(male or 0):
            raise BadValue(f"Intersection contradicts its attributes ({tone}, {gender})", said)
        return SourceImage(
            key=path,
            path=inside(self.params.root or source.parent, path, links=True),
            label=label,
            method="unknown" if label else "none",
            family="unknown" if label else "none",
            race=tone,
            gender=gender,
            cell=get_taxonomy(self.params.taxonomy).cell(tone, gender),
            split=split,
            annotation_source=source.name if tone or gender else None,
            dataset="aiface",
            origin=None if label else "photograph",
        )
