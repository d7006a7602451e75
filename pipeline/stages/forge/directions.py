"""Latent directions of a run's generator: drawn, labelled and fitted when a forgery asks for them, kept like
fits of cells.

Labels are the measures of pose and expression that the landmarks show, age, and, so that they stay, the
logits of race and gender. Draws are the generator's own, seeded by nothing but their number: a generator has
the same directions in every run.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from manifests.atomic import digest_value
from manifests.errors import DataError
from pipeline.engine import models
from pipeline.stages.cells import cache as cell_cache

if TYPE_CHECKING:
    from pipeline.engine.config import Config
    from pipeline.engine.stage import Context

DRAWS = 1200
CHUNK = 200
SIDE = 128
VERSION = 1
FILE = "directions.safetensors"


@dataclass(frozen=True)
class Draws:
    """Draws `start` to `stop` of a generator, and the models that label them."""

    generator: str
    landmarker: str
    attribute_model: str
    device: str
    start: int = 0
    stop: int = 0


def label_draws(work: Draws) -> tuple[int, dict[str, np.ndarray]]:
    """One chunk of draws: (start, latents `w` float32 [n, w_dim] and labels float64 [n] by name). Runs in a
    worker.
    """
    from generators.forgeries.shape_model import MEASURES, measure, shape_model
    from generators.sampling import draw_z, map_latents, synthesize
    from manifests.images import resize

    generator = models.generator(work.generator, work.device)
    keys = [("directions", number) for number in range(work.start, work.stop)]
    w = map_latents(generator, draw_z(0, keys, generator.z_dim))[:, 0]
    images = np.stack([resize(image, SIDE) for image in synthesize(generator, w)])
    points = models.landmarker(work.landmarker, work.device).predict(images)
    found = models.attribute_model(work.attribute_model, work.device).predict(images)
    model = shape_model()
    measures = np.stack([measure(model.normalise(p)[0]) for p in points]) / model.spread
    ages = np.asarray(found["age"], np.float64)
    labels = dict(zip(MEASURES, measures.T, strict=True)) | {"age": ages @ np.arange(ages.shape[1])}
    for axis in ("race", "gender"):
        logits = np.log(np.asarray(found[axis], np.float64) + 1e-3)
        logits -= logits.mean(1, keepdims=True)
        labels |= {f"{axis}{k}": logits[:, k] for k in range(logits.shape[1] - (axis == "gender"))}
    return work.start, {"w": w, **labels}


def _made(context: Context) -> dict[str, str]:
    """What the directions depend on."""
    return {**directions_weights(context.config), "draws": str(DRAWS), "version": str(VERSION)}


def directions_weights(config: Config) -> dict[str, str]:
    """Digests of the weights that directions are fitted with, as they enter the stage's key."""
    return {
        "generator": models.weight_of(config.cells.generator, "generator").sha256,
        "attribute_model": models.weight_of(config.verify.attribute_model, "attributes").sha256,
        "landmarker": models.weight_of(config.verify.landmarker, "landmarks").sha256,
    }


def _is_of(path: Path, made: dict[str, str]) -> bool:
    """Whether a file is there and holds directions made of this."""
    from generators.cells.directions import read_directions
    from nn.safetensors_files import read_header

    if not path.is_file():
        return False
    with suppress(DataError):
        read_directions(path)
        return bool(read_header(path, "directions").get("made") == made)
    return False


def ensure_directions(context: Context, folder: Path) -> Path:
    """The file of directions in `folder`: what is there, or in the cache of fits, or fitted now.

    Raises:
        DataError: the generator's faces do not differ in what is measured (it makes no faces).
    """
    from generators.cells.directions import read_directions

    path, made = folder / FILE, _made(context)
    if _is_of(path, made):
        return path
    key = digest_value(made)
    if not context.fresh and cell_cache.take(key, [path], "directions", lambda: read_directions(path)):
        context.reporter.line("forge: latent directions taken from the cache")
        return path
    context.reporter.line(f"forge: fitting latent directions on {DRAWS} draws")
    _fit(context, made).save(path)
    cell_cache.keep(key, [path], "directions")
    return path


def _fit(context: Context, made: dict[str, str]) -> Any:
    from generators.cells.directions import fit_directions

    config = context.config
    work = Draws(
        config.cells.generator,
        config.verify.landmarker,
        config.verify.attribute_model,
        config.execute.device,
    )
    chunks = [replace(work, start=start, stop=min(start + CHUNK, DRAWS)) for start in range(0, DRAWS, CHUNK)]
    labelled = _joined(list(context.executor.map(label_draws, chunks)))
    latents = labelled.pop("w")
    age = labelled["age"]
    labelled["age"] = (age - age.mean()) / max(float(age.std()), 1e-9)
    return fit_directions(latents, labelled, generator_sha256=made["generator"], made=made)


def _joined(parts: Sequence[tuple[int, dict[str, np.ndarray]]]) -> dict[str, np.ndarray]:
    """Chunks in the order of their draws, however they finished."""
    rows = [part for _, part in sorted(parts, key=lambda part: part[0])]
    return {name: np.concatenate([row[name] for row in rows]) for name in rows[0]}
