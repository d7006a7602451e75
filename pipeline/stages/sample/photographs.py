"""Photographs as candidates: which are tried, and how they are written down.

Where a photograph was annotated its cell is that, and `verify` judges the picture (one clear face), not the
label. Where it was not, its cell is what `verify` is sure of, as for a generated face.
"""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from manifests.adapters.base import SourceImage
from manifests.atomic import digest_bytes, digest_file, digest_listing, digest_value, write_bytes
from manifests.errors import DataError, MissingError, UserError
from manifests.images import Image, decode, encode
from manifests.schema import PHOTOGRAPH
from manifests.seeding import seed_of
from manifests.store import manifest_file
from manifests.tally import Tally
from pipeline.engine.ids import image_path, stable_id
from pipeline.stages.sample.candidates import Candidate, candidate_table
from pipeline.stages.sample.photograph_sources import photographs_of

if TYPE_CHECKING:
    from pipeline.engine.config import Config
    from pipeline.engine.config_sample import PhotographFilters
    from pipeline.engine.shards import Task

REMEDY = (
    "name yours, as in --set sample.photographs=PATH: a manifest (`fairforge import` and `fairforge gather`"
    " make one), a folder of face crops, or a parquet file of annotated faces"
)
CONSENT = "photograph of a person; consent not recorded"
Key = tuple[Any, ...]


@dataclass(frozen=True)
class Photograph:
    """One photograph to try. source: its place in `sample.photographs`. item: without pixels and
    landmarks.
    """

    source: int
    item: SourceImage

    @property
    def key(self) -> Key:
        """What its id and its place in the order follow from: of the first source its key alone."""
        return (self.item.key,) if self.source == 0 else (self.source, self.item.key)

    @property
    def identity(self) -> str | None:
        """The person, by a name that holds across sources: adapters put the dataset before a colon, other
        names get it here.
        """
        name = self.item.identity_id
        if name is None or ":" in name:
            return name
        return f"{self.item.dataset or f'source{self.source}'}:{name}"


def check(paths: Sequence[str]) -> None:
    """Whether all sources are there.

    Raises:
        MissingError: none is named, or one is not there.
    """
    if not paths:
        raise MissingError("sample.photographs", "names none", REMEDY)
    for path in paths:
        if not Path(path).exists():
            raise MissingError(f"sample.photographs {path}", "is not there", REMEDY)


def digests(paths: Sequence[str]) -> dict[str, str]:
    """What the sources are, as it enters cache keys; a folder by its files' names, sizes and times. Errors as
    `check`.
    """
    check(paths)
    out = {}
    for number, path in enumerate(paths):
        place = Path(path)
        manifest = manifest_file(place)
        name = f"source{number or ''}"
        listed = Path(os.path.realpath(place))
        out[name] = (
            digest_file(manifest) if manifest.is_file() else digest_value(["folder", digest_listing(listed)])
        )
    return out


def choose(config: Config, wanted: Mapping[str, int]) -> tuple[list[Photograph], list[str]]:
    """The photographs to try, and a sentence about each source.

    Of each cell and of those without one, by an order hashed from the seed and the key; of each person one.

    Args:
        config: of the run.
        wanted: how many identities are accepted of each cell.

    Raises:
        DataError: a source without any usable photograph. Errors as `photographs_of`.
    """
    sample, cells = config.sample, defaultdict[str | None, list[Photograph]](list)
    said = []
    for number, path in enumerate(sample.photographs):
        tally, usable, bare = Tally(), 0, 0
        for item in photographs_of(Path(path), config.dataset.taxonomy, sample.filters.model_dump()):
            problem = item.problem or _elsewhere(item, wanted)
            if problem:
                tally.add(problem, item.key)
                continue
            usable, bare = usable + 1, bare + (item.cell is None)
            light = item.model_copy(update={"data": None, "landmarks": None, "landmark_scheme": None})
            cells[item.cell].append(Photograph(number, light))
        left = "; ".join(tally.lines("of them", 3))
        if not usable:
            raise DataError(
                f"sample.photographs {path}",
                f"gives no photograph that may be tried ({left or 'it holds none'})",
                "loosen sample.filters, ask for other cells, or name other photographs",
            )
        said.append(
            f"{path}: {usable} photographs"
            + (f", {bare} of them without a cell" if bare else "")
            + (f"; left out: {left}" if left else "")
        )
    most: dict[str | None, int] = {cell: sample.tries * count for cell, count in wanted.items()}
    most[None] = sample.tries * sum(wanted.values())
    chosen = [one for cell, count in most.items() for one in _first(cells[cell], config.run.seed, count)]
    return sorted(chosen, key=lambda one: (one.source, one.item.key)), said


def _elsewhere(item: SourceImage, wanted: Mapping[str, int]) -> str | None:
    """Why a photograph is of none of the cells wanted; None where it is, or where its cell is not known
    yet.
    """
    if item.cell is None:
        known = item.annotation_source is not None and item.race is not None and item.gender is not None
        return "its race and gender are no cell of this taxonomy" if known else None
    return None if item.cell in wanted else "it is of a cell that is not wanted"


def _first(photographs: Sequence[Photograph], seed: int, count: int) -> list[Photograph]:
    """The first `count` people, in an order hashed from the seed."""
    people: dict[Key | str, Photograph] = {}
    for one in sorted(photographs, key=lambda one: seed_of(seed, PHOTOGRAPH, *one.key)):
        people.setdefault(one.identity or one.key, one)
    return list(people.values())[:count]


def central_square(image: Image) -> Image:
    """The square in the middle: uint8 [S, S, 3] of uint8 [H, W, 3], S the shorter side."""
    height, width = image.shape[:2]
    side = min(height, width)
    top, left = (height - side) // 2, (width - side) // 2
    return np.ascontiguousarray(image[top : top + side, left : left + side])


@dataclass(frozen=True)
class Taken:
    """What a shard of photographs needs. photographs: the sources. filters: of the section `sample`."""

    photographs: tuple[str, ...]
    filters: PhotographFilters
    taxonomy: str
    seed: int
    chosen: tuple[Photograph, ...] = ()


def _candidate(task: Task[Taken], one: Photograph) -> Candidate:
    item, image_id = one.item, stable_id(task.payload.seed, PHOTOGRAPH, *one.key)
    annotated = item.annotation_source and item.cell
    row = Candidate(
        image_id=image_id,
        cell=item.cell,
        index=0,
        identity_id=one.identity or image_id,
        age=item.age,
        origin=PHOTOGRAPH,
        attribute_source=f"annotation:{item.annotation_source}" if annotated else None,
        licence=item.licence,
        dataset=item.dataset or "photographs",
        consent=item.consent or CONSENT,
    )
    try:
        data = encode(central_square(decode(item.bytes_of(), item.key)), "png")
    except UserError as error:
        return replace(row, status="rejected", reason=f"unreadable: {error.why}")
    path = image_path("images", image_id, ".png")
    write_bytes(task.folder / path, data)
    return replace(row, path=path, sha256=digest_bytes(data))


def _with_bytes(taken: Taken) -> list[Photograph]:
    """The photographs, those out of parquet files with their encoded bytes."""
    inside: dict[int, set[str]] = defaultdict(set)
    for one in taken.chosen:
        if one.item.path is None:
            inside[one.source].add(one.item.key)
    held: dict[tuple[int, str], SourceImage] = {}
    for number, keys in inside.items():
        source = Path(taken.photographs[number])
        for item in photographs_of(source, taken.taxonomy, taken.filters.model_dump()):
            if item.key in keys:
                held.setdefault((number, item.key), item)
    return [Photograph(one.source, held.get((one.source, one.item.key), one.item)) for one in taken.chosen]


def take_photographs(task: Task[Taken]) -> pa.Table:
    """One shard: the chosen photographs, decoded and written as lossless PNGs."""
    rows = [_candidate(task, one) for one in _with_bytes(task.payload)]
    return candidate_table(sorted(rows, key=lambda row: row.image_id))
