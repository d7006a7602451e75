"""Batch augmentation of aligned faces: geometry (with landmarks), colour, blur, low resolution, JPEG, noise.

Every draw comes from the `torch.Generator` that is passed in, so a batch is a function of (images,
generator). Synthetic faces may be 32-64 px and soft: low resolution and blur are drawn often, so the models
do not rely on fine texture.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor

from manifests.images import decode, encode


def _uniform(generator: torch.Generator, n: int, low: float, high: float) -> Tensor:
    return torch.rand(n, generator=generator) * (high - low) + low


def random_affine(
    images: Tensor,
    size: int,
    generator: torch.Generator,
    *,
    rotate: float = 12.0,
    scale: float = 0.12,
    shift: float = 0.06,
    mirror: bool = True,
) -> tuple[Tensor, Tensor]:
    """Rotate, scale, shift and mirror each image, resampled to `size`.

    Args:
        images: float32 [N, 3, H, H].
        rotate: degrees, uniform in +-rotate.
        scale: log-uniform in +-scale.
        shift: in image widths.

    Returns:
        images float32 [N, 3, size, size]; theta float32 [N, 2, 3], output to input in normalised coordinates.
    """
    n = len(images)
    angle = _uniform(generator, n, -rotate, rotate) * math.pi / 180
    zoom = torch.exp(_uniform(generator, n, -scale, scale))
    flip = torch.where(torch.rand(n, generator=generator) < (0.5 if mirror else 0.0), -1.0, 1.0)
    cos, sin = torch.cos(angle) * zoom, torch.sin(angle) * zoom
    moved = _uniform(generator, n, -2 * shift, 2 * shift), _uniform(generator, n, -2 * shift, 2 * shift)
    theta = torch.stack(
        [
            torch.stack([cos * flip, -sin, moved[0]], 1),
            torch.stack([sin * flip, cos, moved[1]], 1),
        ],
        1,
    )
    grid = F.affine_grid(theta, [n, 3, size, size], align_corners=False)
    if size < images.shape[-1]:
        images = F.interpolate(
            images, size=(size * 5 // 4,) * 2, mode="bilinear", antialias=True, align_corners=False
        )
    return F.grid_sample(images, grid, padding_mode="reflection", align_corners=False), theta


def move_points(points: Tensor, theta: Tensor, width: int, size: int) -> Tensor:
    """Landmarks under `theta` of `random_affine`: pixels of a `width` image to pixels of the `size` image.

    points: float32 [N, K, 2] in pixels (pixel centres at +0.5). Mirrored points keep their index; see
    `swap_sides`.
    """
    normal = points / width * 2 - 1
    linear, offset = theta[:, :, :2], theta[:, :, 2]
    back = torch.linalg.solve(linear, (normal - offset[:, None]).transpose(1, 2)).transpose(1, 2)
    return (back + 1) * size / 2


def swap_sides(points: Tensor, theta: Tensor, partner: Tensor) -> Tensor:
    """Give mirrored faces (negative determinant) their left points from the right and vice versa.

    partner: int64 [K], the index of each point's mirror image.
    """
    mirrored = torch.linalg.det(theta[:, :, :2]) < 0
    return torch.where(mirrored[:, None, None], points[:, partner], points)


def _jpeg(images: Tensor, which: Tensor, qualities: Tensor) -> Tensor:
    out = images.clone()
    for i in which.nonzero()[:, 0].tolist():
        array = (images[i].clamp(0, 1) * 255).round().byte().permute(1, 2, 0).numpy()
        decoded = decode(encode(array, "jpeg", int(qualities[i])))
        out[i] = torch.from_numpy(decoded).permute(2, 0, 1).float() / 255
    return out


def _blur(images: Tensor, sigma: float) -> Tensor:
    radius = max(1, round(2.5 * sigma))
    at = torch.arange(-radius, radius + 1, dtype=torch.float32)
    kernel = torch.exp(-at.square() / (2 * sigma * sigma))
    kernel = (kernel / kernel.sum()).repeat(3, 1, 1, 1)
    padded = F.pad(images, (radius,) * 4, mode="reflect")
    return F.conv2d(F.conv2d(padded, kernel.transpose(2, 3), groups=3), kernel, groups=3)


def photometric(images: Tensor, generator: torch.Generator) -> Tensor:
    """Brightness, contrast, saturation, low resolution, blur, JPEG and noise, each drawn per image or per
    batch group.

    images: float32 [N, 3, H, W] in [0, 1]; the same comes back, clamped.
    """
    n, _, height, width = images.shape
    mean = images.mean((1, 2, 3), keepdim=True)
    grey = images.mean(1, keepdim=True)
    images = grey + (images - grey) * _uniform(generator, n, 0.7, 1.3).view(-1, 1, 1, 1)
    images = mean + (images - mean) * _uniform(generator, n, 0.7, 1.3).view(-1, 1, 1, 1)
    images = images * _uniform(generator, n, 0.8, 1.2).view(-1, 1, 1, 1)
    images = images * (1 + 0.03 * torch.randn(n, 3, 1, 1, generator=generator))
    if torch.rand((), generator=generator) < 0.5:  # low resolution for half of the batch
        side = int(torch.randint(min(28, height), height + 1, (), generator=generator))
        half = torch.rand(n, generator=generator) < 0.5
        small = F.interpolate(
            images[half], size=(side, side), mode="bilinear", antialias=True, align_corners=False
        )
        images = images.clone()
        images[half] = F.interpolate(small, size=(height, width), mode="bilinear", align_corners=False)
    if torch.rand((), generator=generator) < 0.5:
        sigma = float(_uniform(generator, 1, 0.3, 1.2)) * height / 96
        half = torch.rand(n, generator=generator) < 0.4
        images = images.clone()
        images[half] = _blur(images[half], sigma)
    images = _jpeg(
        images, torch.rand(n, generator=generator) < 0.15, torch.randint(30, 90, (n,), generator=generator)
    )
    noisy = torch.rand(n, generator=generator) < 0.3
    strength = _uniform(generator, n, 0.0, 0.04)[noisy].view(-1, 1, 1, 1)
    images = images.clone()
    images[noisy] += strength * torch.randn(images[noisy].shape, generator=generator)
    return images.clamp(0, 1)


def erase(images: Tensor, generator: torch.Generator, chance: float = 0.25) -> Tensor:
    """Cover a random rectangle (up to 0.4 of each side) of some images with their mean colour: occlusion."""
    n, _, height, width = images.shape
    out = images.clone()
    for i in (torch.rand(n, generator=generator) < chance).nonzero()[:, 0].tolist():
        box = torch.rand(4, generator=generator)
        h, w = int(height * (0.1 + 0.3 * box[0])), int(width * (0.1 + 0.3 * box[1]))
        top, left = int((height - h) * box[2]), int((width - w) * box[3])
        out[i, :, top : top + h, left : left + w] = images[i].mean((1, 2))[:, None, None]
    return out
