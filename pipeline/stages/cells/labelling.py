"""Latents labelled: their pictures made, read by the attribute model, and measured, on the workers."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from manifests.taxonomy import get_taxonomy
from pipeline.engine import models
from pipeline.engine.executors import Executor
from pipeline.engine.run_directory import RunDirectory
from pipeline.engine.shards import Task

CHUNK = 16
"""Latents of a piece that a worker labels: a batch of the models, which compute as many rows whatever they
are given.
"""
LOOKS = "looks"
"""Column of the measures of a latent's picture."""


@dataclass(frozen=True)
class Labelling:
    """With what latents are labelled; of a shard those from `start` to `stop`. seed: of the run.

    looks: whether pictures are measured too.
    """

    generator: str
    attribute_model: str
    device: str
    taxonomy: str
    seed: int = 0
    start: int = 0
    stop: int = 0
    looks: bool = False


def labelling_of(run: RunDirectory) -> Labelling:
    """That of a run's stage `cells`."""
    cells, config = run.config.cells, run.config
    return Labelling(
        cells.generator,
        cells.attribute_model,
        config.execute.device,
        config.dataset.taxonomy,
        config.run.seed,
        looks=bool(cells.looks.wanted),
    )


def _label(labelling: Labelling, w: np.ndarray) -> list[np.ndarray]:
    """Of the pictures of w [N, w_dim]: probabilities by axis of the taxonomy, float32 [N, classes], and with
    `looks` their measures, float32 [N, 3].
    """
    from generators.sampling import synthesize

    model = models.generator(labelling.generator, labelling.device)
    images = synthesize(model, w)
    reader = models.attribute_model(labelling.attribute_model, labelling.device)
    labels = list(reader.axes(reader.predict(images), get_taxonomy(labelling.taxonomy)).values())
    return [*labels, looks_of(images)] if labelling.looks else labels


def looks_of(images: Iterable[np.ndarray]) -> np.ndarray:
    """`attribute_models.quality.looks` of pictures uint8 [H, W, 3]: float32 [N, 3]."""
    from attribute_models.quality import looks

    return np.array([looks(image) for image in images], np.float32).reshape(-1, 3)


def label_chunk(piece: tuple[int, Labelling, np.ndarray]) -> tuple[int, list[np.ndarray]]:
    """`_label` of one piece of the latents, with its number. Runs in a worker."""
    number, labelling, w = piece
    return number, _label(labelling, w)


def label_on(executor: Executor, labelling: Labelling, w: np.ndarray) -> list[np.ndarray]:
    """`_label` on the workers, in pieces; the same whatever their number."""
    pieces = [
        (number, labelling, w[start : start + CHUNK]) for number, start in enumerate(range(0, len(w), CHUNK))
    ]
    found = [labels for _, labels in sorted(executor.map(label_chunk, pieces), key=lambda one: one[0])]
    return [np.concatenate(parts) for parts in zip(*found, strict=True)]


def label_latents(task: Task[Labelling]) -> pa.Table:
    """One shard: latents `start` to `stop`, mapped to W, synthesised and labelled."""
    from generators.sampling import draw_z, map_latents

    labelling = task.payload
    model = models.generator(labelling.generator, labelling.device)
    keys = [("latent", index) for index in range(labelling.start, labelling.stop)]
    w = map_latents(model, draw_z(labelling.seed, keys, model.z_dim))[:, 0]
    names = [*get_taxonomy(labelling.taxonomy).axes, *([LOOKS] if labelling.looks else [])]
    columns = {"w": w, **dict(zip(names, _label(labelling, w), strict=True))}
    return pa.table({name: pa.array(list(rows), pa.list_(pa.float32())) for name, rows in columns.items()})
