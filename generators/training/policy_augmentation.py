"""Differentiable augmentation by a fixed policy: colour, translation, cutout. Zhao et al., NeurIPS 2020,
arXiv 2006.10738.

Unlike the adaptive kind (`augmentation`), every image gets every transform; real and generated images alike,
so that a discriminator on frozen features cannot learn the transforms. What it is shown moved, it judges less
surely: with `colour` a generator is told little of how bright its pictures are.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

SHIFT = 1 / 8
"""Largest translation, as a share of the side."""
CUT = 1 / 2
"""Side of the square that is cut out, as a share of the side."""


def _uniform(count: int, rng: torch.Generator, like: Tensor) -> Tensor:
    return torch.rand(count, 1, 1, 1, generator=rng).to(like.device)


def _colour(x: Tensor, rng: torch.Generator) -> Tensor:
    """Brightness +-0.5, saturation 0 to 2, contrast 0.5 to 1.5."""
    x = x + (_uniform(len(x), rng, x) - 0.5)
    grey = x.mean(dim=1, keepdim=True)
    x = (x - grey) * (_uniform(len(x), rng, x) * 2) + grey
    mean = x.mean(dim=(1, 2, 3), keepdim=True)
    return (x - mean) * (_uniform(len(x), rng, x) + 0.5) + mean


def _translated(x: Tensor, rng: torch.Generator) -> Tensor:
    """Moved by whole pixels, zeros where nothing was."""
    count, _, height, width = x.shape
    most = [int(side * SHIFT + 0.5) for side in (height, width)]
    down, right = (torch.randint(-m, m + 1, (count, 1), generator=rng).to(x.device) for m in most)
    rows = torch.arange(height, device=x.device)[None] - down
    columns = torch.arange(width, device=x.device)[None] - right
    inside = ((rows >= 0) & (rows < height))[:, None, :, None] & ((columns >= 0) & (columns < width))[
        :, None, None, :
    ]
    index = torch.arange(count, device=x.device)[:, None, None]
    moved = x.permute(0, 2, 3, 1)[
        index, rows.clamp(0, height - 1)[:, :, None], columns.clamp(0, width - 1)[:, None, :]
    ]
    return moved.permute(0, 3, 1, 2) * inside


def _cut_out(x: Tensor, rng: torch.Generator) -> Tensor:
    """A square of half a side, anywhere, also over the border, is zero."""
    count, _, height, width = x.shape
    centres = [torch.randint(0, side + 1, (count, 1), generator=rng).to(x.device) for side in (height, width)]
    covered = [
        (torch.arange(side, device=x.device)[None] - centre).abs() <= int(side * CUT) // 2
        for side, centre in zip((height, width), centres, strict=True)
    ]
    hole = covered[0][:, None, :, None] & covered[1][:, None, None, :]
    return x * ~hole


TRANSFORMS: dict[str, Callable[[Tensor, torch.Generator], Tensor]] = {
    "colour": _colour,
    "translation": _translated,
    "cutout": _cut_out,
}
"""In the order in which they are applied."""


def augment_by_policy(
    images: Tensor, rng: torch.Generator, policy: Sequence[str] = tuple(TRANSFORMS)
) -> Tensor:
    """Images with the transforms of a policy drawn per image; differentiable.

    Args:
        images: float32 [N, 3, H, W] in [-1, 1], RGB.
        rng: of the draws, on the CPU.
        policy: names in `TRANSFORMS`; those that are not there draw nothing.

    Returns:
        float32 [N, 3, H, W], not clipped.
    """
    for name, transform in TRANSFORMS.items():
        images = transform(images, rng) if name in policy else images
    return images
