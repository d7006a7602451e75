"""Giving a trained generator more channels without changing its images (after Net2Net, arXiv 1511.05641).

New channels are drawn as those of a new generator; what reads them starts at zero, so they add nothing at first and learn from
the first step on.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from generators.stylegan2.config import GeneratorConfig
from generators.stylegan2.generator import Generator
from manifests.errors import UsageError


def _placed(name: str, old: Tensor, new: Tensor) -> Tensor:
    """`old` in the first places of `new`: rows of new channels stay as drawn, columns that old rows read from them are zero."""
    out = new.clone()
    rows = tuple(slice(size) for size in old.shape[:1])
    if old.ndim == 4 and old.shape[1] < new.shape[1]:
        out[rows] = 0
        # Demodulation takes any factor away; the others divide by the square root of their inputs.
        scale = math.sqrt(new.shape[1] / old.shape[1]) if ".torgb." in name or ".skip." in name else 1.0
        out[: old.shape[0], : old.shape[1]] = old * scale
    else:
        out[rows] = old
    return out


def widen_generator(old: Generator, config: GeneratorConfig, seed: int) -> Generator:
    """A generator of `config`, with at least as many channels everywhere, that gives the old images.

    Raises:
        UsageError: fewer channels, or a config that differs in more than channels.
    """
    new = Generator(config)
    new.initialise(seed)
    state, kept = new.state_dict(), old.state_dict()
    for name, value in kept.items():
        there = state.get(name)
        if there is None or there.ndim != value.ndim or any(a < b for a, b in zip(there.shape, value.shape, strict=True)):
            raise UsageError(f"generator tensor {name}", "does not fit the wider network", "change its channels alone, to more")
    with torch.no_grad():
        new.load_state_dict({name: _placed(name, kept[name], value) if name in kept else value for name, value in state.items()})
    return new
