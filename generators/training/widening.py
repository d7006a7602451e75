"""Giving trained networks more channels without changing what they give (after Net2Net, arXiv 1511.05641).

New channels are drawn as those of a new network; what reads them starts at zero, so they add nothing at first
and learn from the first step on.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from generators.stylegan2.config import GeneratorConfig
from generators.stylegan2.discriminator import Discriminator, DiscriminatorConfig
from generators.stylegan2.generator import Generator
from manifests.errors import UsageError


def _placed(old: Tensor, new: Tensor, *, equalized: bool) -> Tensor:
    """`old` in the first places of `new`: rows of new channels stay as drawn, columns that old rows read from
    them are zero.

    equalized: the layer divides by the square root of its inputs; the old weights grow by what that takes
    more.
    """
    out = new.clone()
    rows = slice(old.shape[0]) if old.ndim else ...
    if old.ndim == 4 and old.shape[1] < new.shape[1]:
        out[rows] = 0
        out[rows, : old.shape[1]] = old * (math.sqrt(new.shape[1] / old.shape[1]) if equalized else 1.0)
    else:
        out[rows] = old
    return out


def _widen(old: nn.Module, new: nn.Module, what: str, equalized: tuple[str, ...], fixed: str = "") -> None:
    state, kept = new.state_dict(), old.state_dict()
    for name, value in kept.items():
        there = state.get(name)
        shapes = (
            None
            if there is None or there.ndim != value.ndim
            else list(zip(there.shape, value.shape, strict=True))
        )
        if shapes is None or any(a < b or (a > b and fixed and name.startswith(fixed)) for a, b in shapes):
            raise UsageError(
                f"{what} tensor {name}",
                "does not fit the wider network",
                "change its channels alone, to more",
            )
    with torch.no_grad():
        new.load_state_dict(
            {
                name: _placed(kept[name], value, equalized=any(part in name for part in equalized))
                if name in kept
                else value
                for name, value in state.items()
            }
        )


def widen_generator(old: Generator, config: GeneratorConfig, seed: int) -> Generator:
    """A generator of `config`, with at least as many channels everywhere, that gives the old images.

    Raises:
        UsageError: fewer channels, or a config that differs in more than channels.
    """
    new = Generator(config)
    new.initialise(seed)
    _widen(
        old, new, "generator", (".torgb.", ".skip.")
    )  # demodulation takes any factor of the other layers away
    return new


def widen_discriminator(old: Discriminator, config: DiscriminatorConfig, seed: int) -> Discriminator:
    """A discriminator of `config`, with at least as many channels above 4 x 4 and as many there, that gives
    the old scores.

    Raises:
        UsageError: fewer channels, others at 4 x 4, or a config that differs in more than channels.
    """
    new = Discriminator(config)
    new.initialise(seed)
    _widen(old, new, "discriminator", (".conv0.", ".conv1.", ".skip."), fixed="b4.")
    return new
