"""Fakes drawn anew at every training step: the rows of a training whose fakes are made when they are needed.

The detector knows no forgery. Whoever trains it hands over a `Forge`: picklable, so that worker processes can
have it. Every fake is a function of (seed, epoch, image), so a resumed training and any number of workers see
the same bytes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from detector.training.data import Classes, Indices, SplitData, load_rows, read_split
from manifests.containment import inside
from manifests.contents import Digests
from manifests.errors import DataError
from manifests.families import family_names
from manifests.images import Image, resize
from manifests.records import Points
from manifests.seeding import rng_of

VALIDATION_EPOCH = -1
"""The epoch that validation fakes are drawn for, once."""
OTHERS = 20
"""How many other bases of a cell are tried where no fake can be made of one."""
SHOWN = 5


@dataclass(frozen=True)
class Base:
    """A real face that fakes are made of. height, width: of its picture. landmarks: float32 [K, 2], its
    pixels.
    """

    image_id: str
    file: Path
    height: int
    width: int
    landmarks: Points
    landmark_scheme: str
    cell: str | None
    identity_id: str | None
    origin: str | None = None


class Made(NamedTuple):
    """A fake and its mask, uint8 [H, W, 3] and [H, W], of the size of its base in this epoch.

    refused: draws that were refused before it.
    """

    image: Image
    mask: Image
    refused: int


class Forge(Protocol):
    """Makes fakes of the bases it was built for. Picklable."""

    @property
    def families(self) -> Mapping[str, str]:
        """Family of each method, in the order of the methods."""
        ...

    def digests(self) -> Mapping[str, str]:
        """sha256 of the weights that fakes are drawn with, by what they are."""
        ...

    def unusable(self) -> dict[int, str]:
        """The bases that no method can use: their place and why."""
        ...

    def method(self, k: int, seed: int, epoch: int) -> str:
        """The method that is drawn for base `k` in this epoch."""
        ...

    def real(self, k: int, seed: int, epoch: int) -> Image | None:
        """The real picture that the fake of base `k` is made of in this epoch; None: as it is stored."""
        ...

    def make(self, k: int, seed: int, epoch: int) -> Made:
        """The fake of base `k`.

        Raises:
            DataError: no method and no partner could be used, or a picture is not readable.
        """
        ...


BuildForge = Callable[[Sequence[Base]], Forge]


class OnlineData(SplitData):
    """Real rows, then as many fakes of them: row n + k is drawn of row k, in another way every epoch.

    `begin(epoch)` says which epoch the following rows are of. A base and its fake share a `pair_id`.
    `refused` counts draws that no fake could be made with, each replaced by another of the same base or cell.
    """

    def __init__(self, real: SplitData, forge: Forge, classes: Classes, seed: int) -> None:
        n = len(real)
        groups = {name: np.tile(index, 2) for name, index in real.groups.items()}
        super().__init__(
            real.size,
            [*real.files, *real.files],
            [*real.ids, *(f"{i} fake" for i in real.ids)],
            [*real.ids, *real.ids],
            np.repeat(np.array([0, 1], np.int64), n),
            groups,
            real.images,
            methods=np.zeros(2 * n, np.int64),
        )
        self.forge, self.classes, self.seed, self.real, self.refused = forge, classes, seed, n, 0
        self.begin(0)

    def __getstate__(self) -> dict[str, Any]:
        """Without pixels: a worker process reads the files it needs."""
        return {**self.__dict__, "images": None}

    def begin(self, epoch: int) -> None:
        """Draw the methods of an epoch (from 0); `VALIDATION_EPOCH` for the fixed fakes of validation."""
        self.epoch = epoch
        drawn = [self.forge.method(k, self.seed, epoch) for k in range(self.real)]
        names, family = tuple(self.forge.families), {name: k for k, name in enumerate(self.classes.family)}
        self.methods[self.real :] = [1 + names.index(name) for name in drawn]
        self.groups["family"][self.real :] = [family.get(self.forge.families[name], -1) for name in drawn]

    def pictures(self, rows: Indices) -> tuple[Image, Image]:
        """Pixels uint8 [N, S, S, 3] and forgery masks uint8 [N, S, S] of some rows in the present epoch.

        Raises:
            DataError: no fake could be made of a base, nor of others of its cell.
        """
        images = np.zeros((len(rows), self.size, self.size, 3), np.uint8)
        masks = np.zeros((len(rows), self.size, self.size), np.uint8)
        for place, row in enumerate(rows.tolist()):
            if row < self.real:
                real = self.forge.real(row, self.seed, self.epoch)
                images[place] = self.image(row) if real is None else resize(real, self.size)
                continue
            made = self._fake(row - self.real)
            images[place], masks[place] = resize(made.image, self.size), resize(made.mask, self.size)
        return images, masks

    def _fake(self, k: int) -> Made:
        """The fake of base `k`, or of another base of its cell where none can be made of it."""
        cell = np.flatnonzero(self.groups["cell"][: self.real] == self.groups["cell"][k])
        others = (
            rng_of(self.seed, "another base", self.epoch, self.ids[k]).permutation(cell)[:OTHERS].tolist()
        )
        failed: DataError | None = None
        for base in (k, *others):
            try:
                made = self.forge.make(base, self.seed, self.epoch)
            except DataError as error:
                failed, self.refused = failed or error, self.refused + 1
                continue
            self.refused += made.refused
            return made
        assert failed is not None
        raise failed

    def fixed(self, epoch: int = VALIDATION_EPOCH) -> SplitData:
        """All rows with the fakes of one epoch, pixels in memory: what validation looks at after every epoch.

        Raises:
            DataError: a fake could not be made.
        """
        self.begin(epoch)
        images, _ = self.pictures(np.arange(len(self)))
        return SplitData(
            self.size,
            self.files,
            self.ids,
            self.pair_ids,
            self.labels,
            dict(self.groups),
            images,
            methods=self.methods.copy(),
        )


def bases_of(rows: pa.Table, folder: Path) -> list[Base | None]:
    """The faces of real rows whose landmarks and size are known, None for the others."""
    columns = [
        "image_id",
        "path",
        "height",
        "width",
        "landmarks",
        "landmark_scheme",
        "cell",
        "identity_id",
        "origin",
    ]
    return [
        (
            Base(
                row["image_id"],
                inside(folder, row["path"]),
                row["height"],
                row["width"],
                np.asarray(row["landmarks"], np.float32).reshape(-1, 2),
                row["landmark_scheme"],
                row["cell"],
                row["identity_id"],
                row["origin"],
            )
            if row["landmarks"] and row["landmark_scheme"] and row["height"] and row["width"]
            else None
        )
        for row in rows.select(columns).to_pylist()
    ]


def online_split(
    table: pa.Table,
    folder: Path,
    split: str,
    classes: Classes,
    size: int,
    build: BuildForge,
    seed: int,
    digests: Digests = "whole",
) -> tuple[OnlineData, list[str]]:
    """The real rows of a split that fakes can be made of, with their fakes, and why others were left out.

    Args:
        table: a manifest's rows.
        folder: its folder.
        size: side of the pictures, pixels.
        build: makes the maker of fakes.
        seed: of the draws.
        digests: which files are compared with the digests of their rows.

    Returns:
        The rows, and lines `image_id reason`.

    Raises:
        DataError: none is left, or pictures are missing or unreadable.
    """
    rows = table.filter(pc.and_(pc.equal(table["split"], split), pc.equal(table["label"], 0)))
    found = bases_of(rows, folder)
    ids = rows["image_id"].to_pylist()
    out = [f"{ids[k]} has no landmarks" for k, base in enumerate(found) if base is None]
    places = [k for k, base in enumerate(found) if base is not None]
    bases = [base for base in found if base is not None]
    unusable = build(bases).unusable() if bases else {}
    out += [f"{bases[k].image_id} {why}" for k, why in sorted(unusable.items())]
    keep = [k for k in range(len(bases)) if k not in unusable]
    if not keep:
        raise DataError(
            f"the {split} split",
            f"has no real face that fakes can be made of ({'; '.join(out[:SHOWN]) or 'no real rows'})",
            "give a manifest whose real rows have landmarks: `fairforge import fairface-parquet` and"
            " `fairforge run` keep them",
        )
    real = load_rows(
        rows.take(pa.array([places[k] for k in keep], pa.int64())), folder, split, classes, size, digests
    )
    return OnlineData(real, build([bases[k] for k in keep]), classes, seed), out


def judged_split(
    table: pa.Table,
    folder: Path,
    split: str,
    classes: Classes,
    size: int,
    build: BuildForge | None,
    seed: int,
    digests: Digests = "none",
) -> tuple[SplitData, list[str]]:
    """A split as something is judged by it: with its stored fakes or, where it has none, with fakes that are
    drawn once.

    build: makes the maker of fakes; None: there is none, and rows are taken as they are. Else as
    `online_split`.
    """
    labels = table.filter(pc.equal(table["split"], split))["label"].to_pylist()
    if build is None or 1 in labels:
        return read_split(table, folder, split, classes, size, digests), []
    data, left_out = online_split(table, folder, split, classes, size, build, seed, digests)
    return data.fixed(), left_out


def with_families(classes: Classes, families: Iterable[str]) -> Classes:
    """The classes with these families beside `none`, in the order of `manifests.families.family_names`."""
    wanted = {"none", *families}
    return replace(classes, family=tuple(name for name in family_names() if name in wanted))


def online_counts(counts: Mapping[str, tuple[int, ...]]) -> dict[str, tuple[int, ...]]:
    """Class counts of real rows with one fake drawn of each: as many fakes as reals, demographic classes
    twice.
    """
    real, families = counts["fake"][0], len(counts["family"]) - 1
    doubled = {
        group: tuple(2 * n for n in found)
        for group, found in counts.items()
        if group not in ("fake", "family")
    }
    return {
        **doubled,
        "fake": (real, real),
        "family": (real, *(families * [max(real // max(families, 1), 1)])),
    }
