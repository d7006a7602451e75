"""Photographs at a path, with what is known of each: a manifest, a folder of images, or a parquet file of
annotated faces.

Cells are in the taxonomy that is asked for. An item with an `annotation_source` was annotated; a cell without
one is what some model predicted, and is verified like that of a generated face. What cannot be used is an
item with its `problem`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path, PurePosixPath
from typing import Any

from manifests.adapters import ADAPTERS
from manifests.adapters.base import SourceImage, checked
from manifests.adapters.rows import COLUMNS, source_image
from manifests.containment import inside
from manifests.errors import MissingError, UsageError
from manifests.images import READABLE
from manifests.listing import list_files
from manifests.schema import SYNTHETIC, first_levels, metadata_of
from manifests.store import manifest_file, read_images, read_table
from manifests.taxonomy import get_taxonomy
from manifests.text_files import csv_rows
from manifests.values import gender_word, is_missing, race_word, text_of
from pipeline.faces.sources import kind_of

ATTRIBUTES = ("attributes.csv", "attributes.tsv", "attributes.parquet", "labels.csv")
"""Files in a folder that say what is known of its images, the first that is there."""
FACES = "fairface-parquet"
"""The adapter of parquet files of faces; the dataset of its photographs too, as when they are imported."""
FAIRFACE = "fairface7"
"""Whose words for races are understood beside the run's own."""


def photographs_of(path: Path, taxonomy: str, filters: Mapping[str, Any]) -> Iterator[SourceImage]:
    """The photographs at `path`, in a fixed order.

    Args:
        path: a manifest or its folder, a folder of images, or a parquet file of faces (see the adapter
            `fairface-parquet`).
        taxonomy: of the cells.
        filters: limits of that adapter; `ages` holds for every source that knows them.

    Raises:
        MissingError: nothing there, or a folder without images. DataError: another kind of file, or corrupt.
            UsageError: a
        manifest whose taxonomy has no map to this one.
    """
    kind = kind_of(path)
    if kind == "faces":
        for item in ADAPTERS.create(FACES, {**filters, "taxonomy": taxonomy}).read(path):
            yield item.model_copy(update={"dataset": FACES})
        return
    for item in _of_manifest(path, taxonomy) if kind == "manifest" else _of_folder(path, taxonomy):
        young = item.age is not None and item.age not in filters["ages"]
        yield item.model_copy(update={"problem": "its age is none of sample.filters.ages"}) if young else item


def _of_manifest(path: Path, taxonomy: str) -> Iterator[SourceImage]:
    """The real photographs of a manifest, one quality of each."""
    file = manifest_file(path)
    table = first_levels(read_images(file))
    own, wanted = metadata_of(table).get("taxonomy") or taxonomy, get_taxonomy(taxonomy)
    try:
        races = {race: get_taxonomy(own).map_race(race, taxonomy) for race in get_taxonomy(own).races}
    except UsageError as error:
        raise UsageError(
            f"sample.photographs {path}", f"is of {own}, which {error.why}", error.fix
        ) from error
    for row in table.to_pylist():
        problem = (
            "is a fake"
            if row["label"]
            else "is a generated face"
            if row["origin"] == SYNTHETIC or row["generator"]
            else None
        )
        said_by = row["attribute_source"] or f"annotation:{file.name}"
        race = races.get(row["race"])
        yield SourceImage(
            key=row["image_id"],
            path=inside(file.parent, row["path"]),
            problem=problem,
            race=race,
            gender=row["gender"],
            age=row["age"],
            cell=wanted.cell(race, row["gender"], row["age"]),
            identity_id=row["identity_id"],
            licence=row["licence"],
            consent=row["consent"],
            dataset=row["dataset"],
            annotation_source=_annotation(said_by) if row["race"] or row["gender"] else None,
        )


def _annotation(said_by: str) -> str | None:
    """The file that an `attribute_source` names; None for a model's prediction."""
    return said_by.removeprefix("annotation:") if said_by.startswith("annotation:") else None


def _of_folder(folder: Path, taxonomy: str) -> Iterator[SourceImage]:
    """The images below a folder, with the row of its `attributes` file where it has one for them."""
    listing = list_files(folder, READABLE)
    if not listing.files:
        raise MissingError(
            f"sample.photographs {folder}", "holds no images", f"known endings: {', '.join(READABLE)}"
        )
    files = {path.relative_to(folder).as_posix(): path for path in listing.files}
    table = next((folder / name for name in ATTRIBUTES if (folder / name).is_file()), None)
    known = _known(table, files) if table else {}
    for key, path in files.items():
        row = known.get(key, {})

        def make(key: str = key, path: Path = path, row: Mapping[str, Any] = row) -> SourceImage:
            return _of_row(row, taxonomy, table.name if table else "", key, path)

        yield checked(make, key, key)
    yield from (SourceImage(key=one.name, problem=one.reason) for one in listing.unusable)


def _known(table: Path, files: Mapping[str, Path]) -> dict[str, Mapping[str, Any]]:
    """Rows of an `attributes` file by the image they are of: a path below the folder, or one that ends with
    it.

    Raises:
        DataError: not such a file, or none of its rows is of an image of the folder.
    """
    names = ("path", *COLUMNS, "attribute_source", "race_prob")
    rows = (
        (row for _, row in csv_rows(table, ("path",), names, {"path": "file"}))
        if table.suffix != ".parquet"
        else iter(read_table(table, ("path",)).to_pylist())
    )
    out: dict[str, Mapping[str, Any]] = {}
    read = 0
    for row in rows:
        read += 1
        parts = PurePosixPath((text_of(row["path"]) or "").replace("\\", "/")).parts
        key = next((name for k in range(len(parts)) if (name := "/".join(parts[k:])) in files), None)
        if key is not None:
            out.setdefault(key, row)
    if read and not out:
        raise MissingError(str(table), "names no image of its folder", "give paths relative to the folder")
    return out


def _of_row(row: Mapping[str, Any], taxonomy: str, table: str, key: str, path: Path) -> SourceImage:
    """The item of an image and its row, which may be empty.

    Raises:
        BadValue: a value that cannot be read.
    """
    wanted, seven, race = get_taxonomy(taxonomy), get_taxonomy(FAIRFACE), row.get("race")
    word = race_word(race, seven)
    if race_word(race, wanted) not in wanted.races and word in seven.races and wanted.root in seven.maps:
        race = seven.map_race(word, taxonomy)
    predicted = not is_missing(row.get("race_prob")) or (
        text_of(row.get("attribute_source")) or ""
    ).startswith("model:")
    label = row.get("label")
    found = source_image(
        {**row, "race": race, "label": 0 if is_missing(label) else label, "landmarks": None},
        taxonomy,
        table,
        key=key,
        path=path,
    )
    given = not is_missing(row.get("race")) or gender_word(row.get("gender")) is not None
    problem = "is a fake" if found.label else "is a generated face" if found.origin == SYNTHETIC else None
    return found.model_copy(
        update={
            "problem": problem,
            "annotation_source": table if given and not predicted else None,
        }
    )
