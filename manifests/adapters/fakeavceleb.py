"""Adapter `fakeavceleb`: FakeAVCeleb v1.2 (Khalid et al., NeurIPS 2021), with a perceived race and gender for
every clip.

`meta_data.csv` has ten columns, the last without a name: it holds the folder, which begins with
`FakeAVCeleb/` whatever the root is called; `path` is the file's name alone. A file that stands there under
two methods is one clip with both. People are split by the column `source`; the faces that were swapped in
(`target1`) tie nearly all people to one another and do not count.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from manifests.adapters.base import ADAPTERS, SourceImage
from manifests.adapters.clips import CLIP_SUFFIXES, ClipAdapter, ClipParams
from manifests.adapters.rows import line_of
from manifests.adapters.unlisted import Named, unlisted
from manifests.containment import inside
from manifests.schema import Finding
from manifests.taxonomy import get_taxonomy
from manifests.text_files import csv_rows
from manifests.values import BadValue, gender_word, relative_path, text_of, word_of

LIST = "meta_data.csv"
KINDS = ("RealVideo-RealAudio", "RealVideo-FakeAudio", "FakeVideo-RealAudio", "FakeVideo-FakeAudio")
RACES = {
    "african": "Black",
    "asian (east)": "East Asian",
    "asian (south)": "Indian",
    "caucasian (american)": "White",
    "caucasian (european)": "White",
}
"""The set's words in FairFace's."""
FAMILIES = {"wav2lip": "reenact", "rtvc": "synthesis"}
"""Of a method alone; those with `faceswap` or `fsgan` swap."""
Row = dict[str, str]


def _family(methods: list[str]) -> str:
    if any(part in method for method in methods for part in ("faceswap", "fsgan")):
        return "swap"
    return next(
        (FAMILIES[method] for method in sorted(methods, reverse=True) if method in FAMILIES), "unknown"
    )


@ADAPTERS.register(
    "fakeavceleb",
    family="clips",
    params=ClipParams,
    licence="FakeAVCeleb terms",
    paper="Khalid et al., NeurIPS 2021 (arXiv 2108.05080)",
    taxonomy="fairface4",
    media="video",
)
class FakeAVCeleb(ClipAdapter):
    """FakeAVCeleb: meta_data.csv beside four folders of real and fake picture and sound."""

    dataset = "fakeavceleb"
    annotated = True

    def check(self, source: Path) -> list[Finding]:
        out = [
            Finding("layout", f"folder {name} is missing: it is in the FakeAVCeleb archive")
            for name in KINDS
            if not (source / name).is_dir()
        ]
        if not (source / LIST).is_file():
            out.append(Finding("layout", f"{LIST} is missing: it is in the FakeAVCeleb archive"))
        return out

    def clips(self, source: Path) -> Iterator[SourceImage]:
        known: dict[str, list[Row]] = {}
        problems: list[SourceImage] = []
        named = Named()
        columns = ("source", "method", "type", "race", "gender", "path", "folder")
        for where, row in csv_rows(source / LIST, columns, also={"folder": ""}):
            try:
                name = self._name(row)
                named.add(name)
                if text_of(row["source"], "source") is None:
                    raise BadValue("source is missing", None)
                known.setdefault(name, []).append({**row, "where": line_of(where, source)})
            except BadValue as error:
                problems.append(SourceImage(key=line_of(where, source), problem=str(error)))
        yield from problems
        splits = self.split_of(rows[0]["source"] for rows in known.values())
        for name, rows in sorted(known.items()):
            yield self._clip(source, name, rows, splits[rows[0]["source"]])
        yield from unlisted(source, (source / kind for kind in KINDS), named.paths, LIST, CLIP_SUFFIXES)

    @staticmethod
    def _name(row: Row) -> str:
        """The clip's path below the root: the folder without its first part, and the file's name."""
        folder = relative_path(row["folder"], "its folder").split("/")
        name = relative_path(row["path"])
        if folder[0] not in KINDS:
            folder = folder[1:]
        return "/".join([*folder, name])

    def _clip(self, source: Path, name: str, rows: list[Row], split: str) -> SourceImage:
        row = rows[0]
        kinds = {one["type"].casefold() for one in rows}
        label = int(kinds != {KINDS[0].casefold()})
        known = {kind.casefold() for kind in KINDS}
        if not kinds <= known or (label and KINDS[0].casefold() in kinds):
            problem = f"its types are not known, or contradict each other: {row['type']} ({row['where']})"
            return SourceImage(key=name, problem=problem)
        methods = sorted({one["method"].casefold() for one in rows})
        race, gender, cell = self._perceived(row)
        return self.item(
            name,
            inside(source, name, links=True),
            label,
            "+".join(methods),
            _family(methods),
            row["where"],
            race=race,
            gender=gender,
            cell=cell,
            annotation_source=LIST if race or gender else None,
            identity_id=f"fakeavceleb:{row['source']}",
            pair_id=f"fakeavceleb:{row['source']}",
            split=split,
        )

    def _perceived(self, row: Row) -> tuple[str | None, str | None, str | None]:
        taxonomy = get_taxonomy(self.params.taxonomy)
        word = word_of(row["race"], tuple(RACES))
        seven = RACES.get(word) if word else None
        race = get_taxonomy("fairface7").map_race(seven, taxonomy.name) if seven else None
        gender = gender_word(row["gender"])
        return race, gender, taxonomy.cell(race, gender)
