"""A tiny random generator with random directions, and faces that carry a latent of it: what latent forgeries
need.
"""

from __future__ import annotations

import atexit
import shutil
import tempfile
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from generators import forgeries
from generators.cells.directions import fit_directions
from generators.checkpoints.files import save_generator
from generators.checkpoints.library import load_generator
from generators.forgeries import FORGERIES
from generators.forgeries.base import Forger
from generators.forgeries.shape_model import MEASURES
from generators.stylegan2 import Generator
from generators.stylegan2.config import parse_config
from manifests.atomic import digest_file
from manifests.records import Face
from tests.generators_forgeries.tiny_engines import engine_files

CONFIG = {
    "z_dim": 8,
    "w_dim": 16,
    "c_dim": 0,
    "img_resolution": 64,
    "mapping_kwargs": {"num_layers": 1},
    "synthesis_kwargs": {"channel_base": 64, "channel_max": 4},
}


@lru_cache(maxsize=1)
def files() -> tuple[Path, Path]:
    """The generator and its directions; removed when the tests end."""
    folder = Path(tempfile.mkdtemp(prefix="latent-faces-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    generator = Generator(parse_config(CONFIG, "test"))
    generator.initialise(3)
    save_generator(folder / "tiny.safetensors", generator)
    rng = np.random.default_rng(0)
    w = rng.standard_normal((200, 16))
    labels = {name: w @ rng.standard_normal(16) for name in (*MEASURES, "age", "race0")}
    digest = digest_file(folder / "tiny.safetensors")
    fit_directions(w, labels, generator_sha256=digest).save(folder / "directions.safetensors")
    return folder / "tiny.safetensors", folder / "directions.safetensors"


def tiny_generator() -> Generator:
    return load_generator(str(files()[0]))


def with_latent(face: Face, seed: int) -> Face:
    """The face with a random latent: its picture stays what it was."""
    latent = np.random.default_rng(seed).standard_normal((1, 16)).astype(np.float32)
    return face.model_copy(
        update={"latent": latent, "generator": str(files()[0]), "generator_sha256": digest_file(files()[0])}
    )


def build(name: str, **params: Any) -> Forger:
    """The forger; a latent one takes any picture for its latent's, and has directions; a neural engine has
    small files.
    """
    facts = FORGERIES.get(name).facts
    if facts["latent"]:
        params = {"max_difference": 255.0, **params}
    if facts["directions"]:
        params = {"directions": str(files()[1]), **params}
    if facts["files"]:
        params = {**engine_files(name), **params}
    return forgeries.get(name)(params)
