"""Groups of a dataset: one real face, the fakes made of it, and as many groups in each cell as were asked
for.

They are chosen by places in the tables of `verify` and `forge`; rows become objects where a shard encodes
them.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from manifests.columns import Places, codes, places_in
from manifests.errors import GateError
from manifests.splits import largest_remainder
from pipeline.engine.config import DatasetSection
from pipeline.engine.run_directory import RunDirectory
from pipeline.stages.forge.fakes import Fake, fakes_of, read_accepted_fakes
from pipeline.stages.verify.faces import VerifiedFace, accepted_table, faces_of

Stratum = tuple[str | None, str | None, str | None]
"""Split, cell, origin."""
NOT_READ = ("embedding", "race_probs")
OF_FAKES = ("path", "mask_path", "source_id", "driver_id", "licence")
"""Columns of the fakes that are read."""
GIVERS = ("source_id", "driver_id")
"""Columns of a fake that name a face in it beside its target."""
TERMS = ("consent", "licence")
"""Columns of a face that bind whoever uses a fake with it."""


@dataclass(frozen=True)
class Made:
    """A fake with the terms of the faces that gave identity or motion, source before driver; None where there
    is no such face, or it has none.
    """

    fake: Fake
    consents: tuple[str | None, ...] = ()
    licences: tuple[str | None, ...] = ()


@dataclass(frozen=True)
class Group:
    """A real face and its fakes; `generated`: a generated face that stands beside it as a fake of its own."""

    real: VerifiedFace
    fakes: tuple[Made, ...]
    generated: VerifiedFace | None = None


@dataclass(frozen=True)
class Groups:
    """Groups as tables, which take a tenth of the memory of objects; made when they are gone through.

    Args:
        real: faces of `verify`, a row per group.
        fakes: of `forge`, those of a group one after another.
        counts: int64 [G], fakes of each group.
        terms: `source_id consent` and so on: of every row of `fakes`, as `Made` has them.
        generated: faces of `verify`, a row per group; None where there are none.
    """

    real: pa.Table
    fakes: pa.Table
    counts: Places
    terms: pa.Table
    generated: pa.Table | None

    def __len__(self) -> int:
        return int(self.real.num_rows)

    def __iter__(self) -> Iterator[Group]:
        terms = (
            zip(*(self.terms[f"{giver} {term}"].to_pylist() for giver in GIVERS), strict=True)
            for term in TERMS
        )
        made = map(Made, fakes_of(self.fakes), *terms)
        generated = [None] * len(self) if self.generated is None else faces_of(self.generated)
        for real, count, face in zip(faces_of(self.real), self.counts.tolist(), generated, strict=True):
            yield Group(real, tuple(next(made) for _ in range(count)), face)


@dataclass(frozen=True)
class Choice:
    """The tables of `verify` and `forge`, and which of their rows are groups.

    Args:
        faces: accepted ones.
        fakes: accepted ones.
        real: int64 [G], rows of `faces`.
        made: int64 [G, M], rows of `fakes`, a column for each method; -1 where a group has none by it.
        generated: int64 [G], rows of `faces`, -1 where there is none.
    """

    faces: pa.Table
    fakes: pa.Table
    real: Places
    made: Places
    generated: Places

    def __len__(self) -> int:
        return len(self.real)

    def taken(self, order: Places) -> Choice:
        """These groups, int64 [K], in this order."""
        return Choice(self.faces, self.fakes, self.real[order], self.made[order], self.generated[order])

    def shards(self, size: int) -> Iterator[Groups]:
        """The groups in pieces of `size`, each with rows of its own."""
        givers = {name: places_in(self.fakes[name], self.faces["image_id"]) for name in GIVERS}
        for start in range(0, len(self), size):
            part = slice(start, start + size)
            rows = self.made[part][self.made[part] >= 0]
            terms = {
                f"{giver} {term}": self.faces[term].take(pa.array(own[rows], mask=own[rows] < 0))
                for giver, own in givers.items()
                for term in TERMS
            }
            yield Groups(
                self.faces.take(pa.array(self.real[part])),
                self.fakes.take(pa.array(rows)),
                (self.made[part] >= 0).sum(1),
                pa.table(terms),
                self.faces.take(pa.array(self.generated[part]))
                if (self.generated[part] >= 0).any()
                else None,
            )


def _by_values(faces: pa.Table, rows: Places, names: Sequence[str]) -> dict[tuple[Any, ...], Places]:
    """Where in `rows` those with the same values in some columns are, in their order, by these values."""
    columns = [faces[name].take(pa.array(rows)) for name in names]
    number = np.zeros(len(rows), np.int64)
    for column in columns:
        own = codes(column) + 1
        number = number * (int(own.max(initial=0)) + 1) + own
    first, of = np.unique(number, return_index=True, return_inverse=True)[1:]
    order = np.argsort(of, kind="stable")
    parts = np.split(order, np.cumsum(np.bincount(of, minlength=len(first)))[:-1])
    values = zip(*(column.take(pa.array(first)).to_pylist() for column in columns), strict=True)
    return dict(zip(values, parts, strict=True))


def complete_groups(run: RunDirectory) -> tuple[Choice, dict[Stratum, Places]]:
    """The groups whose every method succeeded, and by (split, cell, origin) which of them there are, by the
    real image's id.

    Where generated faces are fakes (`dataset.generated_as`), each group has one of its split and cell, and
    groups without one are left out.
    """
    forge, origins = run.config.forge, run.config.origins
    faces = accepted_table(run.folder("verify") / "faces.parquet", NOT_READ).combine_chunks()
    fakes = read_accepted_fakes(run.folder("forge") / "fakes.parquet", OF_FAKES).combine_chunks()
    methods = [*forge.methods, *forge.held_out]
    made = np.full((faces.num_rows, len(methods)), -1)
    target = places_in(fakes["target_id"], faces["image_id"])
    method = places_in(fakes["method"], pa.chunked_array([methods], pa.string()))
    known = np.flatnonzero((target >= 0) & (method >= 0))
    made[target[known], method[known]] = known
    test = pc.fill_null(pc.equal(faces["split"], "test"), False).to_numpy()
    made[~test, len(forge.methods) :] = -1
    whole = (made >= 0).sum(1) == np.where(test, len(methods), len(forge.methods))
    mine = pc.is_in(faces["origin"], pa.array(origins, pa.string())).to_numpy()
    real = np.flatnonzero(mine & whole)
    found = Choice(faces, fakes, real, made[real], np.full(len(real), -1))
    groups: dict[Stratum, Places] = _by_values(faces, real, ("split", "cell", "origin"))
    if run.config.fakes_are_generated:
        return found, _with_generated(found, groups, np.flatnonzero(~mine))
    return found, _whole_sets(found, groups) if run.config.sample.counterfactual else groups


def _with_generated(found: Choice, groups: dict[Stratum, Places], rows: Places) -> dict[Stratum, Places]:
    """As many of the groups as there are generated faces, each with one of them: put into `found`. rows: of
    these faces.
    """
    beside = _by_values(found.faces, rows, ("split", "cell"))
    out = {}
    for (split, cell, origin), part in groups.items():
        own = rows[beside.get((split, cell), rows[:0])][: len(part)]
        out[split, cell, origin] = part[: len(own)]
        found.generated[out[split, cell, origin]] = own
    return out


def _whole_sets(found: Choice, groups: dict[Stratum, Places]) -> dict[Stratum, Places]:
    """The groups of counterfactual sets that are whole in every cell, in the same order in each."""
    cells = {cell for _, cell, _ in groups}
    column = found.faces["counterfactual_id"].take(pa.array(found.real))
    own = codes(column) + 1
    whole = np.bincount(own)[own] == len(cells)
    names = pc.fill_null(column, str(None))
    out = {}
    for place, part in groups.items():
        kept = part[whole[part]]
        out[place] = kept[np.asarray(pc.sort_indices(names.take(pa.array(kept))))]
    return out


def choose(run: RunDirectory) -> tuple[Choice, dict[str, int]]:
    """The groups of the dataset, balanced, and the shortfall per `split cell` (and origin, where there are
    several).

    Raises:
        GateError: a cell is short and `pair.allow_short` is off; all short cells are named.
    """
    dataset, origins = run.config.dataset, run.config.origins
    wanted = planned(dataset)
    found, groups = complete_groups(run)
    nobody = np.zeros(0, np.int64)
    there = {
        (split, cell, origin): groups.get((split, cell, origin), nobody)
        for split, counts in wanted.items()
        for cell in counts
        for origin in origins
    }
    short = {
        f"{split} {cell}" + (f" {origin}" if len(origins) > 1 else ""): wanted[split][cell] - len(part)
        for (split, cell, origin), part in there.items()
        if len(part) < wanted[split][cell]
    }
    if short and not run.config.pair.allow_short:
        raise GateError(
            "the dataset would not be balanced",
            "; ".join(f"{name} lacks {n} identities" for name, n in short.items()),
            "raise forge.tries, verify.slack or sample.oversample, loosen the gates of [forge]"
            " (forge/gates.json counts what they refused), lower dataset.per_cell, or record it with"
            " --allow-short",
        )
    chosen = [nobody]
    for split, counts in wanted.items():
        mine = {place: part for place, part in there.items() if place[0] == split}
        for (_, cell, _), part in mine.items():
            # With --allow-short every cell of a split shrinks as its shortest cell does: smaller, still
            # balanced.
            sizes = [
                len(other) * counts[cell] // counts[c] for (_, c, _), other in mine.items() if len(other)
            ]
            chosen.append(part[: min([counts[cell], *sizes])])
    return found.taken(np.concatenate(chosen)), short


def planned(dataset: DatasetSection) -> dict[str, dict[str, int]]:
    """Identities wanted per split and cell, of each origin of the real images."""
    by_cell = {cell: largest_remainder(dataset.wanted(cell), dataset.splits) for cell in dataset.cells}
    return {
        split: {cell: by_cell[cell][split] for cell in dataset.cells} for split in by_cell[dataset.cells[0]]
    }
