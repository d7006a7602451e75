"""The parts of a training step that torch may compile (`torch.compile`), as functions of tensors alone.

A step is bound by memory where feature maps are wide and channels few: noise, bias, leaky ReLU and modulation
each read and write a whole map. Compiled, they are one loop. Random numbers stay outside, so that a step
draws the same ones. R1 and path length differentiate twice, which compiled code cannot: they stay as they
are.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

from generators.stylegan2.generator import Generator
from generators.stylegan2.synthesis import SynthesisNetwork
from manifests.errors import UsageError

COMPILERS = ("g++", "clang++", "c++")
"""What torch looks for on a CPU."""


def check_compiler(device: str) -> None:
    """Refuse to compile where it could only fail in the middle of the first step.

    Args:
        device: as torch names it.

    Raises:
        UsageError: no C++ compiler for the CPU.
    """
    if torch.device(device).type == "cpu" and not any(shutil.which(name) for name in COMPILERS):
        raise UsageError(
            "compile = true", "needs a C++ compiler", "install g++ (Debian: build-essential) or leave it out"
        )


def draw_noise(generator: Generator, count: int, rng: torch.Generator, device: torch.device) -> list[Tensor]:
    """Noise of every layer in the order in which layers add it; on a CPU the draws of noise mode `random`. On
    another device they are drawn there, from a seed that `rng` gives: on a CPU they take longer than the
    step.

    Args:
        generator: whose layers.
        count: images.
        rng: on the CPU.
        device: of the result.

    Returns:
        float32 [count, 1, R, R] for each layer that adds noise.
    """
    sides = []
    for resolution in generator.config.block_resolutions:
        layers = 1 if resolution == 4 else 2
        sides += [resolution] * layers if generator.config.synthesis_kwargs.use_noise else []
    if device.type != "cpu":
        seed = int(torch.randint(2**62, (), generator=rng))
        rng = torch.Generator(device).manual_seed(seed)
    return [torch.randn(count, 1, side, side, generator=rng, device=device) for side in sides]


def paint(synthesis: SynthesisNetwork, w: Tensor, noise: Sequence[Tensor]) -> Tensor:
    """Images of styles with noise that was drawn before.

    Args:
        synthesis: the network.
        w: float32 [N, num_ws, w_dim].
        noise: of `draw_noise`.

    Returns:
        float32 [N, 3, H, W], nominally [-1, 1].
    """
    left = iter(noise)
    x: Tensor | None = None
    image: Tensor | None = None
    at = 0
    for resolution in synthesis.resolutions:
        block = getattr(synthesis, f"b{resolution}")
        x, image = block(x, image, w[:, at : at + block.num_conv + 1], lambda constant: next(left))
        at += block.num_conv
    assert image is not None
    return image


BACKEND = "inductor"
MOST_SHAPES = 64
"""For which a function is compiled; above that torch runs it as it is, and says so in a warning alone."""


def compiled(function: Callable[..., Any], *, use: bool) -> Callable[..., Any]:
    """`function`, compiled for the shapes that it is called with where `use` says so."""
    if use:  # a layer's forward is one function to torch, of as many shapes as there are layers
        import torch._dynamo

        config = torch._dynamo.config
        config.recompile_limit = max(config.recompile_limit, MOST_SHAPES)
    return torch.compile(function, dynamic=False, backend=BACKEND) if use else function
