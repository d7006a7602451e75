"""The fixed high-pass whose output stands beside an image's channels."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

RESIDUAL_FLOOR = 0.02
"""Added to the deviation that a residual is divided by: a flat picture's is not blown up to noise."""


def residual(images: Tensor, normalised: bool = False) -> Tensor:
    """Fixed high-pass: each channel less the mean of its 3 x 3 binomial neighbourhood, times 4.

    normalised: divided by its standard deviation over the picture, so that a sharp picture and a smooth one
    weigh alike.

    Blending and resampling leave their traces in such residuals (Fridrich & Kodovsky, IEEE TIFS 2012, use
    richer sets of them). images: float [N, 3, H, W]; the same shape comes back.
    """
    line = torch.tensor([0.25, 0.5, 0.25], dtype=images.dtype, device=images.device)
    kernel = torch.outer(line, line).expand(images.shape[1], 1, 3, 3)
    smooth = F.conv2d(F.pad(images, (1, 1, 1, 1), mode="reflect"), kernel, groups=images.shape[1])
    found = 4 * (images - smooth)
    if not normalised:
        return found
    centred = found - found.mean((1, 2, 3), keepdim=True)
    return found / (centred.square().mean((1, 2, 3), keepdim=True).sqrt() + RESIDUAL_FLOOR)
