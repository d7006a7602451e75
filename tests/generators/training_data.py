"""Small training sets, settings and comparisons for tests of generator training."""

import io

import numpy as np
import torch
from PIL import Image as PilImage

from generators.training.images import prepare
from generators.training.sources import read_source

TINY = {
    "z_dim": 16,
    "w_dim": 16,
    "mapping_layers": 2,
    "channel_base": 64,
    "channel_max": 8,
    "batch": 8,
    "threads": 1,
    "precision": "float32",
}


def png(image):
    file = io.BytesIO()
    PilImage.fromarray(image).save(file, "png")
    return file.getvalue()


def discs(count, size=16, seed=0):
    """Orange discs on a dark ground: something a small generator learns in seconds."""
    rng = np.random.default_rng(seed)
    grid = np.mgrid[:size, :size]
    out = []
    for _ in range(count):
        centre, radius = rng.uniform(size * 0.4, size * 0.6, 2), rng.uniform(size * 0.2, size * 0.3)
        inside = np.hypot(grid[0] - centre[0], grid[1] - centre[1]) < radius
        image = np.full((size, size, 3), (20, 30, 60), np.uint8)
        image[inside] = (230, 140, 20)
        out.append(image)
    return out


def prepared(folder, out, size=16):
    return prepare(read_source(folder), out / "data", size, conditional=False)


def tensors(path):
    return torch.load(path, weights_only=True)


def equal(a, b):
    if isinstance(a, torch.Tensor):
        return torch.equal(a, b)
    if isinstance(a, dict):
        return a.keys() == b.keys() and all(equal(a[k], b[k]) for k in a)
    if isinstance(a, list | tuple):
        return len(a) == len(b) and all(equal(x, y) for x, y in zip(a, b, strict=True))
    return a == b
