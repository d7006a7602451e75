"""Adapter `purdue`: the CSVs of PG-FDD (Lin et al., CVPR 2024), one row per frame, attributes 1 or -1.

`img_path,label,ismale,isasian,iswhite,isblack,intersec_label[,spe_label]`. With `isasian` (FF++, DFDC)
intersec_label is 0-3 male asian, white, black, others and 4-7 female; without it (Celeb-DF, DFD) 0-2 male
white, black, others and 3-5 female. A row that cannot be used, or whose intersec_label contradicts its
attributes, is left out with that reason, and so is a frame in a folder that its tables do not name (not of a
`root` elsewhere, nor where a CSV is itself the source).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import partial
from pathlib import Path, PurePosixPath

from pydantic import field_validator

from manifests.adapters.annotations import flag, gender_of, race_of
from manifests.adapters.base import ADAPTERS, SourceImage, Split, checked
from manifests.adapters.ffpp import family_of
from manifests.adapters.rows import forgery_of, line_of
from manifests.adapters.unlisted import Named, unlisted
from manifests.containment import inside
from manifests.errors import DataError, MissingError
from manifests.registry import Params
from manifests.schema import SPLITS, Finding
from manifests.taxonomy import get_taxonomy
from manifests.text_files import csv_rows
from manifests.values import BadValue, integer_of, is_missing, label_of, relative_path, text_of

NEEDED = ("img_path", "label", "ismale", "iswhite", "isblack", "intersec_label")
OPTIONAL = ("isasian", "spe_label", "video_id", "identity_id")
EIGHT = ("asian", "white", "black", "others")
SPECIFIC = ("Deepfakes", "Face2Face", "FaceSwap", "NeuralTextures", "FaceShifter")
"""Methods by spe_label, from 1."""


class PurdueParams(Params):
    """`root`: the folder img_path is relative to (the CSV's own when None). `split`: of a file not named
    after one.
    """

    taxonomy: str = "ffpp"
    root: Path | None = None
    dataset: str = "purdue"
    split: Split = None

    @field_validator("taxonomy")
    @classmethod
    def _known(cls, value: str) -> str:
        return get_taxonomy(value).name


def _code(value: str | None) -> str:
    """A number of a method, also written `1.0`, as text; empty where it is missing."""
    if is_missing(value):
        return ""
    try:
        return str(integer_of(value))
    except BadValue:
        return str(value)


def _methods(table: Path) -> dict[str, tuple[str, str]]:
    """(method, family) by spe_label: the five of FaceForensics++, and those that methods.csv beside the
    tables names.
    """
    out = {str(place): (name, family_of(name)) for place, name in enumerate(SPECIFIC, 1)}
    for where, row in csv_rows(table, ("spe_label", "method", "family")) if table.is_file() else ():
        try:
            out[_code(row["spe_label"])] = forgery_of(row, 1)
        except BadValue as error:
            raise DataError(where, str(error), "mend the row") from error
    return out


def intersection(race: str, gender: str, *, asian: bool) -> int:
    """intersec_label of a perceived race and gender; `asian`: whether the set has that column."""
    races = EIGHT if asian else EIGHT[1:]
    return races.index(race) + (0 if gender == "Male" else len(races))


@ADAPTERS.register(
    "purdue",
    family="frames",
    params=PurdueParams,
    licence="that of each dataset",
    paper="Lin et al., CVPR 2024 (arXiv 2402.17229)",
    taxonomy="ffpp",
)
class Purdue:
    """Frames named by the CSVs of PG-FDD; a folder's train.csv, val.csv and test.csv, or one CSV."""

    annotated = True

    def __init__(self, params: PurdueParams) -> None:
        self.params = params

    def _tables(self, source: Path) -> list[tuple[Path, str | None]]:
        if source.is_file():
            return [(source, source.stem if source.stem in SPLITS else self.params.split)]
        return [(source / f"{split}.csv", split) for split in SPLITS if (source / f"{split}.csv").is_file()]

    def check(self, source: Path) -> list[Finding]:
        if self._tables(source):
            return []
        return [
            Finding(
                "layout",
                f"{source} has no train.csv, val.csv or test.csv: the authors' repository links them",
            )
        ]

    def read(self, source: Path) -> Iterator[SourceImage]:
        found = self.check(source)
        if found:
            raise MissingError(str(source), found[0].message, "give a CSV, or a folder of them")
        tables, named = self._tables(source), Named()
        for table, split in tables:
            methods = _methods(table.parent / "methods.csv")
            for where, row in csv_rows(table, NEEDED, OPTIONAL):
                named.add(row["img_path"])
                make = partial(self._image, table, split, row, methods)
                yield checked(make, row["img_path"], line_of(where, table.parent))
        if source.is_dir() and self.params.root is None:
            yield from unlisted(source, [source], named.paths, " or ".join(table.name for table, _ in tables))

    def _image(
        self,
        table: Path,
        split: str | None,
        row: Mapping[str, str],
        methods: Mapping[str, tuple[str, str]],
    ) -> SourceImage:
        path, label = relative_path(row["img_path"], "img_path"), label_of(row["label"])
        flags = {name: flag(row[f"is{name}"], f"is{name}") for name in EIGHT[:3] if f"is{name}" in row}
        race, gender = race_of(flags), gender_of(flag(row["ismale"], "ismale"))
        said = row["intersec_label"]
        if race and gender and not is_missing(said):
            right = intersection(race, gender, asian="asian" in flags)
            if integer_of(said, "intersec_label") != right:
                raise BadValue(f"intersec_label contradicts its attributes ({race}, {gender})", said)
        made = methods.get(_code(row.get("spe_label")), ("unknown", "unknown"))
        method, family = made if label else ("none", "none")
        wanted = get_taxonomy(self.params.taxonomy)
        mapped = get_taxonomy("ffpp").map_race(race, wanted.name)
        video = f"{self.params.dataset}/{method}/{PurePosixPath(path).parent.as_posix()}"
        return SourceImage(
            key=path,
            path=inside(self.params.root or table.parent, path, links=True),
            label=label,
            method=method,
            family=family,
            race=mapped,
            gender=gender,
            cell=wanted.cell(mapped, gender),
            video_id=text_of(row.get("video_id")) or video,
            identity_id=text_of(row.get("identity_id")),
            split=split,
            dataset=self.params.dataset,
            annotation_source=table.name if race or gender else None,
        )
