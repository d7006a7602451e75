"""Per-pixel noise of the synthesis network, without global random state."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from manifests.errors import UsageError

NOISE_MODES = ("const", "random", "none")
NoiseSeed = torch.Generator | int | Sequence[int] | None
NoiseSource = Callable[[Tensor], Tensor | None]


def noise_source(mode: str, seed: NoiseSeed, batch: int) -> NoiseSource:
    """What a layer adds, given its constant noise `[R, R]`: None, that constant, or fresh [N, 1, R, R].

    Args:
        mode: `const` (the layer's own fixed map), `none`, or `random`.
        seed: for `random`: a `torch.Generator` on the CPU, one int for the batch, or one int per sample (then
            a sample's noise does not depend on its neighbours). Draws are made on the CPU: the same on any
            device.
        batch: N.

    Raises:
        UsageError: unknown mode; `random` without a seed, or with another number of seeds than samples.
    """
    if mode not in NOISE_MODES:
        raise UsageError(f"noise_mode {mode!r}", "is not known", f"choose one of: {', '.join(NOISE_MODES)}")
    if mode == "none":
        return lambda constant: None
    if mode == "const":
        return lambda constant: constant
    if seed is None:
        raise UsageError("noise_mode 'random'", "needs a seed", "give noise=SEED, or one seed per sample")
    if isinstance(seed, torch.Generator | int):
        rngs, rows = [_rng(seed)], batch
    else:
        rngs, rows = [_rng(int(s)) for s in seed], 1
        if len(rngs) != batch:
            raise UsageError(f"{len(rngs)} noise seeds", f"for {batch} samples", "give one seed per sample")

    def draw(constant: Tensor) -> Tensor:
        maps = [torch.randn(rows, 1, *constant.shape, generator=rng) for rng in rngs]
        return torch.cat(maps).to(constant.device)

    return draw


def _rng(seed: torch.Generator | int) -> torch.Generator:
    return seed if isinstance(seed, torch.Generator) else torch.Generator().manual_seed(seed)
