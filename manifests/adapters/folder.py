"""Adapter `folder`: anybody's own images. Either `real/` and `fake/` sub-folders, or a CSV that names the
files.

The CSV (`labels.csv` in the folder, or the source itself) has `path` and `label` (0, false or real; 1, true
or fake), and may have race, gender, age, identity_id, pair_id, video_id, split, method, family, licence,
consent, origin (photograph or synthetic), dataset. With the parameter `label` that column may be absent, and
`path` be called `file`. Paths are relative to the CSV. A row that cannot be used is left out with its reason,
and so is a picture of the folder that `labels.csv` does not name; of a CSV that is itself the source nothing
is listed but its rows.

`target_path` names the real picture that a fake was made of. Where a CSV has it, a picture without an
`identity_id` gets one, a fake that of its target: intervals then know which rows are not independent.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Literal

from pydantic import Field, field_validator

from manifests.adapters.base import ADAPTERS, SourceImage, Split, checked, left_out
from manifests.adapters.rows import COLUMNS, PERCEIVED, forgery_of, line_of, source_image
from manifests.adapters.unlisted import Named, unlisted
from manifests.containment import inside
from manifests.errors import MissingError
from manifests.families import family_names
from manifests.images import READABLE
from manifests.listing import list_files
from manifests.registry import Params
from manifests.schema import Finding
from manifests.taxonomy import get_taxonomy
from manifests.text_files import csv_rows
from manifests.values import OWN_WORDS, BadValue, is_missing, relative_path

TARGET = "target_path"
"""Column that names the real picture a fake was made of."""


class FolderParams(Params):
    """`csv`: the label file's name in the folder. `licence` of every image that names none.

    `label` of all images, for a CSV without that column. `method` and `family` of every fake that names none.
    """

    taxonomy: str = "fairface4"
    csv: str = "labels.csv"
    licence: str | None = None
    split: Split = None
    label: Literal["real", "fake"] | None = None
    method: str | None = Field(None, min_length=1)
    family: str | None = None

    @field_validator("family")
    @classmethod
    def _known_family(cls, value: str | None) -> str | None:
        allowed = [name for name in family_names() if name != "none"]
        if value is not None and value not in allowed:
            raise ValueError(f"not one of {', '.join(allowed)}")
        return value

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
            raise MissingError(
                str(source), found[0].message, "lay the images out as real/ and fake/, or write a CSV"
            )
        table = self._csv(source)
        if table is None:
            yield from self._folders(source)
            return
        named = Named()
        yield from self._rows(table, named)
        if table != source:
            yield from unlisted(table.parent, [table.parent], named.paths, table.name)

    def _folders(self, source: Path) -> Iterator[SourceImage]:
        for kind, label in (("real", 0), ("fake", 1)):
            if not (source / kind).is_dir():
                continue
            listing = list_files(source / kind, READABLE)
            for path in listing.files:
                key = path.relative_to(source).as_posix()
                method, family = forgery_of(self._made_by({}), label)
                yield SourceImage(
                    key=key,
                    path=path,
                    label=label,
                    method=method,
                    family=family,
                    licence=self.params.licence,
                    split=self.params.split,
                )
            yield from left_out(listing, f"{kind}/")

    def _rows(self, table: Path, named: Named) -> Iterator[SourceImage]:
        needed, also = (("path",), {"path": "file"}) if self.params.label else (("path", "label"), {})
        for where, row in csv_rows(table, needed, (*COLUMNS, TARGET), also):
            self.annotated |= not row.keys().isdisjoint(PERCEIVED)
            named.add(row["path"])
            yield checked(partial(self._row, table, row), row["path"], line_of(where, table.parent))

    def _row(self, table: Path, row: dict[str, str]) -> SourceImage:
        name = relative_path(row["path"])
        label = row.get("label")
        label = self.params.label if self.params.label and is_missing(label) else label
        more = {"identity_id": self._identity(row, name)} if TARGET in row else {}
        return source_image(
            {**row, **self._made_by(row), "label": label},
            self.params.taxonomy,
            table.name,
            key=name,
            path=inside(table.parent, name, links=True),
            split=self.params.split,
            licence=self.params.licence,
            **more,
        )

    def _made_by(self, row: Mapping[str, str]) -> dict[str, str | None]:
        """Method and family of a row, else the parameters'."""
        given = {"method": self.params.method, "family": self.params.family}
        return {name: given[name] if is_missing(row.get(name), OWN_WORDS) else row[name] for name in given}

    @staticmethod
    def _identity(row: Mapping[str, str], name: str) -> str:
        """Who is in a picture that names nobody: who is in its target (a name, no file that is read), else
        who is in it.
        """
        target = row[TARGET]
        if is_missing(target):
            return name
        try:
            return relative_path(target)
        except BadValue:  # a path elsewhere is a name too
            return target.strip()
