"""Candidate faces out of a generator: drawn by a strategy, alone or in counterfactual sets, written as
lossless PNGs.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import pyarrow as pa

from manifests.atomic import digest_bytes, write_bytes
from manifests.images import encode
from manifests.schema import SYNTHETIC
from manifests.seeding import seed_of
from manifests.taxonomy import get_taxonomy
from pipeline.engine import models
from pipeline.engine.ids import image_path, stable_id
from pipeline.engine.shards import Task

ANY = "any"
"""The cell of an item before its picture has been read."""
SYNTHETIC_CONSENT = "synthetic face: no depicted person"
SCHEMA = pa.schema(
    [
        ("image_id", pa.string()),
        ("path", pa.string()),
        ("sha256", pa.string()),
        ("cell", pa.string()),
        ("index", pa.int32()),
        ("seed", pa.int64()),
        ("psi", pa.float32()),
        ("generator", pa.string()),
        ("generator_sha256", pa.string()),
        ("w", pa.list_(pa.float32())),
        ("identity_id", pa.string()),
        ("counterfactual_id", pa.string()),
        ("age", pa.string()),
        ("attribute_source", pa.string()),
        ("licence", pa.string()),
        ("consent", pa.string()),
        ("dataset", pa.string()),
        ("origin", pa.string()),
        ("status", pa.string()),
        ("reason", pa.string()),
    ]
)


@dataclass(frozen=True)
class Item:
    """One candidate to draw. cell: `ANY` where the picture decides. index: its number in that cell."""

    cell: str
    index: int


@dataclass(frozen=True)
class Reading:
    """With what a picture's cell is read.

    attribute_model: by name. minima: axis -> the least probability of a sure label.
    """

    attribute_model: str
    minima: dict[str, float]


@dataclass(frozen=True)
class Draws:
    """What a shard of candidates out of a generator needs; see the sections `cells` and `sample`.

    reading: of pictures, where the strategy does not know the cell before. dataset: as rows call it.
    """

    generator: str
    generator_sha256: str
    cell_model: str
    cell_model_sha256: str
    reading: Reading | None
    taxonomy: str
    cells: tuple[str, ...]
    strategy: str
    psi: float
    strength: float
    step: float
    counterfactual: bool
    seed: int
    device: str
    licence: str
    dataset: str
    items: tuple[Item, ...] = ()


@dataclass(frozen=True)
class Candidate:
    """One row of the candidates, drawn or a photograph; see `SCHEMA`."""

    image_id: str
    cell: str | None
    index: int
    identity_id: str
    dataset: str
    origin: str
    licence: str | None
    consent: str
    status: str = "ok"
    reason: str | None = None
    path: str | None = None
    sha256: str | None = None
    seed: int | None = None
    psi: float | None = None
    generator: str | None = None
    generator_sha256: str | None = None
    w: list[float] | None = None
    counterfactual_id: str | None = None
    age: str | None = None
    attribute_source: str | None = None


def candidate_table(rows: Sequence[Candidate]) -> pa.Table:
    """Candidates as a table with `SCHEMA`."""
    return pa.Table.from_pylist([vars(row) for row in rows], schema=SCHEMA)


def _latents(draws: Draws, seeds: list[int]) -> np.ndarray:
    """Float32 [n, w_dim]: each item's latent from its own seed."""
    from generators.strategies import STRATEGIES, Drawing

    cells = models.cell_model(draws.cell_model, draws.cell_model_sha256)
    if draws.counterfactual:
        names = list(draws.cells)
        return np.stack(
            [
                cells.sample_counterfactual(names, seed, psi=draws.psi, strength=draws.strength)[
                    names.index(item.cell)
                ]
                for item, seed in zip(draws.items, seeds, strict=True)
            ]
        )
    model = models.generator(draws.generator, draws.device)
    drawing = Drawing(model, cells, draws.seed, draws.psi, draws.strength, draws.step)
    strategy = STRATEGIES.create(draws.strategy)
    return np.concatenate(
        [strategy.draw(drawing, item.cell, [seed]) for item, seed in zip(draws.items, seeds, strict=True)]
    )


def read_cells(draws: Draws, reading: Reading, images: np.ndarray) -> list[str | None]:
    """The cell each picture is perceived as, None where the attribute model is not sure."""
    from generators.cells.fit import sure_cells

    taxonomy = get_taxonomy(draws.taxonomy)
    reader = models.attribute_model(reading.attribute_model, draws.device)
    found = sure_cells(list(reader.axes(reader.predict(images), taxonomy).values()), taxonomy, reading.minima)
    return [taxonomy.cells[index] if index >= 0 else None for index in found]


def item_seed(draws: Draws, item: Item) -> int:
    """The seed of a candidate: of its cell and number, or of its set's number."""
    if draws.counterfactual:
        return seed_of(draws.seed, "counterfactual", item.index)
    return seed_of(draws.seed, "sample", item.cell, item.index)


def draw_candidates(task: Task[Draws]) -> pa.Table:
    """One shard: draw, synthesise, and write what may be of a wanted cell; every item has a row."""
    from generators.sampling import synthesize

    draws = task.payload
    seeds = [item_seed(draws, item) for item in draws.items]
    latents = _latents(draws, seeds)
    images = synthesize(models.generator(draws.generator, draws.device), latents)
    cells: list[str | None] = [item.cell for item in draws.items]
    if draws.reading is not None:
        cells = read_cells(draws, draws.reading, images)
    out = []
    for item, cell, seed, w, image in zip(draws.items, cells, seeds, latents, images, strict=True):
        image_id = stable_id(draws.seed, "sample", item.cell, item.index)
        group = stable_id(draws.seed, "counterfactual", "set", item.index) if draws.counterfactual else None
        row = Candidate(
            image_id=image_id,
            cell=cell,
            index=item.index,
            seed=seed,
            psi=draws.psi,
            generator=draws.generator,
            generator_sha256=draws.generator_sha256,
            w=w.tolist(),
            identity_id=group or image_id,
            counterfactual_id=group,
            licence=draws.licence,
            consent=SYNTHETIC_CONSENT,
            dataset=draws.dataset,
            origin=SYNTHETIC,
        )
        if cell not in draws.cells:
            reason = "low_confidence" if cell is None else "other_cell"
            out.append(replace(row, status="rejected", reason=reason))
            continue
        data = encode(image, "png")
        path = image_path("images", image_id, ".png")
        write_bytes(task.folder / path, data)
        out.append(replace(row, path=path, sha256=digest_bytes(data)))
    return candidate_table(out)
