"""Deterministic batched sampling: a sample's bytes depend on its own key alone.

A network is only ever run on micro-batches of one shape (`nn.micro_batches`). `micro_batch`, its rows, is
part of what a sample is, and so is the number of threads (torch.set_num_threads), which splits sums too.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from generators.stylegan2.generator import Generator
from manifests.errors import UsageError
from manifests.seeding import normal_of
from nn.micro_batches import micro_batches

MICRO_BATCH = 16
MOST_MAP_BYTES = 32 << 20
"""Of the largest map of a micro-batch's images. At 256 px with official channels an image takes as long alone
as with seven others, whose maps take eight times the memory (`python -m benchmarks.micro_batches`).
"""


def rows_of(generator: Generator) -> int:
    """Images that `synthesize` draws at once: `MICRO_BATCH`, or as many as `MOST_MAP_BYTES` hold, at least
    one. It depends on the generator's config alone, as it is part of what a sample is.
    """
    return min(MICRO_BATCH, max(1, MOST_MAP_BYTES // generator.config.largest_map))


def draw_z(run_seed: int, keys: Sequence[tuple[str | int, ...]], dim: int) -> npt.NDArray[np.float32]:
    """Standard normal latents: float32 [len(keys), dim]; row i depends on the run's seed and keys[i]
    alone.
    """
    return normal_of(run_seed, keys, dim)


def even_classes(generator: Generator, count: int) -> npt.NDArray[np.float32] | None:
    """One-hot classes float32 [count, c_dim], every class in turn; None for a generator without classes."""
    if not generator.c_dim:
        return None
    return np.eye(generator.c_dim, dtype=np.float32)[np.arange(count) % generator.c_dim]


def _run(count: int, rows: int, step: Callable[[npt.NDArray[np.int64]], Tensor]) -> list[npt.NDArray[Any]]:
    with torch.inference_mode():
        return [step(at)[:kept].cpu().numpy() for at, kept in micro_batches(count, rows)]


def map_latents(
    generator: Generator,
    z: npt.NDArray[np.float32],
    c: npt.NDArray[np.float32] | None = None,
    *,
    psi: float = 1.0,
    cutoff: int | None = None,
    micro_batch: int = MICRO_BATCH,
) -> npt.NDArray[np.float32]:
    """Styles of latents, in canonical micro-batches.

    Args:
        z: float32 [N, z_dim].
        c: float32 [N, c_dim] where the generator is class-conditional.
        psi: truncation; see `MappingNetwork.forward`.
        cutoff: truncation; see `MappingNetwork.forward`.

    Returns:
        w: float32 [N, num_ws, w_dim].
    """
    pieces = _run(
        len(z),
        micro_batch,
        lambda at: generator.mapping(z[at], None if c is None else c[at], psi=psi, cutoff=cutoff),
    )
    return np.concatenate(pieces) if pieces else np.zeros((0, generator.num_ws, generator.w_dim), np.float32)


def to_uint8(images: Tensor) -> Tensor:
    """float32 [N, 3, H, W] in [-1, 1] to uint8 [N, H, W, 3]: 127.5 x + 128, clamped, then truncated, as
    officially.
    """
    return (images * 127.5 + 128).clamp(0, 255).to(torch.uint8).permute(0, 2, 3, 1).contiguous()


def synthesize(
    generator: Generator,
    w: npt.NDArray[np.float32],
    *,
    micro_batch: int | None = None,
    noise_mode: str = "const",
    noise_seeds: Sequence[int] | None = None,
) -> npt.NDArray[np.uint8]:
    """Images of styles, in canonical micro-batches.

    Args:
        w: float32 [N, num_ws, w_dim] or [N, w_dim].
        micro_batch: rows per run of the network; None: `rows_of`.
        noise_mode: `const`, `none`, or `random` with `noise_seeds`, one int per sample.

    Returns:
        uint8 [N, H, W, 3], RGB. Image i depends on w[i], noise_seeds[i] and micro_batch.

    Raises:
        UsageError: w of another shape, an unknown noise mode, random noise without one seed per sample.
    """
    if noise_seeds is not None and len(noise_seeds) != len(w):
        raise UsageError(
            f"{len(noise_seeds)} noise seeds", f"for {len(w)} samples", "give one seed per sample"
        )

    def step(at: npt.NDArray[np.int64]) -> Tensor:
        noise = None if noise_seeds is None else [noise_seeds[i] for i in at]
        return to_uint8(generator.synthesis(w[at], noise_mode, noise))

    pieces = _run(len(w), rows_of(generator) if micro_batch is None else micro_batch, step)
    size = generator.resolution
    return np.concatenate(pieces) if pieces else np.zeros((0, size, size, 3), np.uint8)
