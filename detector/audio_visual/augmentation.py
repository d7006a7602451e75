"""Clips seen anew in training: mouths moved, turned, blurred, lit otherwise; lips shaken; sound through
another microphone.

What is drawn holds for a whole clip, as a camera and a room do, but for a little shaking of each frame, as
landmarks shake. Time is never touched: what was in step stays in step.
"""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from detector.audio_visual.filterbanks import BANKS, STACKED
from manifests.mesh148 import GROUPS, MIRROR

TURN, SCALE, SHIFT, SHAKE = 0.15, 0.15, 0.2, 0.02
"""At strength 1: radians, share of the size, share of half a crop, and that of each frame alone."""
BLUR, NOISE, GAMMA = 1.2, 8.0, 0.6
"""At strength 1: pixels, grey levels, and the exponent's logarithm."""
LIP_SHAKE, TILT, HISS = 0.006, 0.6, 0.3
"""At strength 1: in units of the aligned face; and of filterbanks whose spread is 1."""
FLIP = torch.tensor([-1.0, 1.0])
LIPS = [*GROUPS["lips_outer"], *GROUPS["lips_inner"]]
"""Points of a file of features among those of the scheme `mesh148`."""
LIP_MIRROR = [LIPS.index(int(MIRROR[point])) for point in LIPS]


def _moved(mouths: Tensor, strength: float, rng: np.random.Generator) -> Tensor:
    """Crops turned, scaled and shifted: float [T, S, S] to float [T, S, S]."""
    length = len(mouths)
    angle = strength * (rng.uniform(-TURN, TURN) + rng.normal(0, SHAKE, length))
    scale = 1 + strength * (rng.uniform(-SCALE, SCALE) + rng.normal(0, SHAKE, length))
    shift = strength * (rng.uniform(-SHIFT, SHIFT, 2) + rng.normal(0, SHAKE, (length, 2)))
    cos, sin = np.cos(angle) * scale, np.sin(angle) * scale
    matrix = np.stack([np.stack([cos, -sin, shift[:, 0]], 1), np.stack([sin, cos, shift[:, 1]], 1)], 1)
    size = (length, 1, *mouths.shape[1:])
    grid = F.affine_grid(torch.from_numpy(matrix.astype(np.float32)), list(size), align_corners=False)
    return F.grid_sample(mouths[:, None], grid, padding_mode="border", align_corners=False)[:, 0]


def _blurred(mouths: Tensor, sigma: float) -> Tensor:
    """Crops under a Gaussian of so many pixels."""
    if sigma < 0.2:
        return mouths
    at = torch.arange(-4, 5, dtype=torch.float32)
    kernel = torch.exp(-(at**2) / (2 * sigma**2))
    kernel = kernel / kernel.sum()
    x = F.pad(mouths[:, None], (4, 4, 4, 4), mode="replicate")
    return F.conv2d(F.conv2d(x, kernel.view(1, 1, 1, -1)), kernel.view(1, 1, -1, 1))[:, 0]


def augmented(
    mouths: Tensor, lips: Tensor, banks: Tensor, strength: float, rng: np.random.Generator
) -> tuple[Tensor, Tensor, Tensor]:
    """One clip as the encoder takes it, drawn anew.

    Args:
        mouths: uint8 [T, S, S].
        lips: float [T, 40, 2].
        banks: float [T, 104], each frame normalised.
        strength: 0 mirrors half of the clips and does no more; 1 is the most.
        rng: what is drawn from.

    Returns:
        float [T, S, S] in [0, 255], float [T, 40, 2], float [T, 104] normalised.
    """
    mirrored = rng.random() < 0.5
    x = mouths.float()
    if mirrored:
        x, lips = x.flip(2), lips[:, LIP_MIRROR] * FLIP
    if strength == 0:
        return x, lips, banks
    x = _blurred(_moved(x, strength, rng), strength * rng.uniform(0, BLUR))
    x = 255 * (x / 255).clamp(0, 1) ** float(np.exp(strength * rng.uniform(-GAMMA, GAMMA)))
    noise = strength * rng.uniform(0, NOISE)
    x = (x + noise * torch.from_numpy(rng.standard_normal(x.shape, np.float32))).clamp(0, 255)
    shaken = strength * rng.uniform(0, LIP_SHAKE) * rng.standard_normal(lips.shape, np.float32)
    stretch = 1 + strength * rng.uniform(-SCALE, SCALE, 2).astype(np.float32)
    lips = lips * torch.from_numpy(stretch) + torch.from_numpy(shaken.astype(np.float32))
    colour = np.interp(
        np.arange(BANKS), np.linspace(0, BANKS - 1, 5), rng.normal(0, TILT * strength, 5)
    ).astype(np.float32)
    hiss = strength * rng.uniform(0, HISS) * rng.standard_normal(banks.shape, np.float32)
    heard = banks + torch.from_numpy(np.tile(colour, STACKED) + hiss.astype(np.float32))
    return (
        x,
        lips,
        (heard - heard.mean(1, keepdim=True)) / heard.std(1, keepdim=True, unbiased=False).clamp_min(1e-3),
    )
