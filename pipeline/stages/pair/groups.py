"""Groups of a dataset: one real face, the fakes made of it, and as many groups in each cell as were asked
for.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, replace

from manifests.errors import GateError
from manifests.splits import largest_remainder
from pipeline.engine.config import DatasetSection
from pipeline.engine.run_directory import RunDirectory
from pipeline.stages.forge.fakes import Fake, read_fakes
from pipeline.stages.verify.faces import VerifiedFace, read_accepted

Stratum = tuple[str | None, str | None, str | None]
"""Split, cell, origin."""
NOT_READ = ("embedding", "race_probs")
OF_FAKES = ("path", "mask_path", "source_id", "driver_id", "licence")
"""Columns of the fakes that are read."""


@dataclass(frozen=True)
class Made:
    """A fake with the faces that gave identity or motion."""

    fake: Fake
    others: tuple[VerifiedFace, ...]


@dataclass(frozen=True)
class Group:
    """A real face and its fakes; `generated`: a generated face that stands beside it as a fake of its own."""

    real: VerifiedFace
    fakes: tuple[Made, ...]
    generated: VerifiedFace | None = None


def _made(run: RunDirectory, faces: Sequence[VerifiedFace]) -> dict[str, dict[str, Made]]:
    """The accepted fakes by target and method."""
    by_id = {face.image_id: face for face in faces}
    out: dict[str, dict[str, Made]] = defaultdict(dict)
    for fake in read_fakes(run.folder("forge") / "fakes.parquet", OF_FAKES):
        if fake.accepted:
            named = (fake.source_id, fake.driver_id)
            others = tuple(by_id[name] for name in named if name is not None and name in by_id)
            out[fake.target_id][fake.method] = Made(fake, others)
    return out


def complete_groups(run: RunDirectory) -> dict[Stratum, list[Group]]:
    """(split, cell, origin) -> groups whose every method succeeded, by the real image's id.

    Where generated faces are fakes (`dataset.generated_as`), each group has one of its split and cell, and
    groups without one are left out.
    """
    forge, origins = run.config.forge, run.config.origins
    faces = read_accepted(run.folder("verify") / "faces.parquet", NOT_READ)
    fakes = _made(run, faces)
    groups: dict[Stratum, list[Group]] = defaultdict(list)
    generated: dict[tuple[str | None, str | None], list[VerifiedFace]] = defaultdict(list)
    for face in faces:
        if face.origin not in origins:
            generated[face.split, face.cell].append(face)
            continue
        methods = [*forge.methods, *(forge.held_out if face.split == "test" else ())]
        made = fakes[face.image_id]
        if all(method in made for method in methods):
            group = Group(face, tuple(made[method] for method in methods))
            groups[face.split, face.cell, face.origin].append(group)
    if run.config.fakes_are_generated:
        return defaultdict(
            list, {place: with_generated(found, generated[place[:2]]) for place, found in groups.items()}
        )
    return whole_sets(groups) if run.config.sample.counterfactual else groups


def with_generated(groups: Sequence[Group], faces: Sequence[VerifiedFace]) -> list[Group]:
    """As many of the groups as there are generated faces, each with one of them."""
    return [replace(group, generated=face) for group, face in zip(groups, faces, strict=False)]


def whole_sets(groups: dict[Stratum, list[Group]]) -> dict[Stratum, list[Group]]:
    """The groups of counterfactual sets that are whole in every cell, in the same order in each."""
    cells = {cell for _, cell, _ in groups}
    members = Counter(group.real.counterfactual_id for found in groups.values() for group in found)
    out: dict[Stratum, list[Group]] = defaultdict(list)
    for place, found in groups.items():
        whole = [group for group in found if members[group.real.counterfactual_id] == len(cells)]
        out[place] = sorted(whole, key=lambda group: str(group.real.counterfactual_id))
    return out


def choose(run: RunDirectory) -> tuple[list[Group], dict[str, int]]:
    """The groups of the dataset, balanced, and the shortfall per `split cell` (and origin, where there are
    several).

    Raises:
        GateError: a cell is short and `pair.allow_short` is off; all short cells are named.
    """
    dataset, origins = run.config.dataset, run.config.origins
    wanted = planned(dataset)
    groups = complete_groups(run)
    short = {
        f"{split} {cell}" + (f" {origin}" if len(origins) > 1 else ""): (
            count - len(groups[split, cell, origin])
        )
        for split, counts in wanted.items()
        for cell, count in counts.items()
        for origin in origins
        if len(groups[split, cell, origin]) < count
    }
    if short and not run.config.pair.allow_short:
        raise GateError(
            "the dataset would not be balanced",
            "; ".join(f"{name} lacks {n} identities" for name, n in short.items()),
            "raise verify.slack or sample.oversample, loosen the gates of [forge] (forge/gates.json counts"
            " what they refused), lower dataset.per_cell, or record it with --allow-short",
        )
    chosen = []
    for split, counts in wanted.items():
        found = {(cell, origin): groups[split, cell, origin] for cell in counts for origin in origins}
        for (cell, _), mine in found.items():
            # With --allow-short every cell of a split shrinks as its shortest cell does: smaller, still
            # balanced.
            sizes = [len(others) * counts[cell] // counts[c] for (c, _), others in found.items() if others]
            chosen += mine[: min([counts[cell], *sizes])]
    return chosen, short


def planned(dataset: DatasetSection) -> dict[str, dict[str, int]]:
    """Identities wanted per split and cell, of each origin of the real images."""
    by_cell = {cell: largest_remainder(dataset.wanted(cell), dataset.splits) for cell in dataset.cells}
    return {
        split: {cell: by_cell[cell][split] for cell in dataset.cells} for split in by_cell[dataset.cells[0]]
    }
