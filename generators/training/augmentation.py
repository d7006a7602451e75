"""Adaptive discriminator augmentation, the `bgc` set: pixel blitting, geometry, colour. Karras et al., arXiv
2006.06676.

Every transform is applied with probability p, independently per image. Ours samples bilinearly and mirrors at
the border; the paper low-passes with a wavelet filter, which matters for strong shrinking alone.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor

LUMA = 1 / math.sqrt(3)


def _eye(count: int, size: int) -> Tensor:
    return torch.eye(size).expand(count, size, size).clone()


def _scale(x: Tensor, y: Tensor) -> Tensor:
    out = _eye(len(x), 3)
    out[:, 0, 0], out[:, 1, 1] = x, y
    return out


def _shift(x: Tensor, y: Tensor) -> Tensor:
    out = _eye(len(x), 3)
    out[:, 0, 2], out[:, 1, 2] = x, y
    return out


def _turn(angle: Tensor) -> Tensor:
    out = _eye(len(angle), 3)
    out[:, 0, 0], out[:, 0, 1] = angle.cos(), -angle.sin()
    out[:, 1, 0], out[:, 1, 1] = angle.sin(), angle.cos()
    return out


class _Draw:
    """Random numbers of one batch, each kept with probability p, else the neutral value."""

    def __init__(self, count: int, p: float, rng: torch.Generator) -> None:
        self.count, self.p, self.rng = count, p, rng

    def _kept(self, value: Tensor, neutral: float, p: float | None = None) -> Tensor:
        keep = torch.rand(self.count, generator=self.rng) < (self.p if p is None else p)
        return torch.where(keep, value, torch.full_like(value, neutral))

    def normal(self, deviation: float, neutral: float = 0.0) -> Tensor:
        return self._kept(torch.randn(self.count, generator=self.rng) * deviation, neutral)

    def uniform(self, low: float, high: float, p: float | None = None) -> Tensor:
        return self._kept(torch.rand(self.count, generator=self.rng) * (high - low) + low, 0.0, p)

    def choice(self, count: int) -> Tensor:
        return self._kept(torch.randint(count, (self.count,), generator=self.rng).float(), 0.0)


def geometry(count: int, size: int, p: float, rng: torch.Generator) -> Tensor:
    """Maps from output to input positions in [-1, 1] coordinates: float32 [N, 3, 3]; section B of the paper,
    in its order.
    """
    draw = _Draw(count, p, rng)
    matrix = _scale(1 - 2 * draw.choice(2), torch.ones(count))
    matrix = matrix @ _turn(draw.choice(4) * (math.pi / 2))
    steps = [(draw.uniform(-0.125, 0.125) * size).round() * (2 / size) for _ in range(2)]
    matrix = matrix @ _shift(*steps)
    scale = torch.exp2(draw.normal(0.2))
    matrix = matrix @ _scale(scale, scale)
    part = 1 - math.sqrt(1 - p)
    matrix = matrix @ _turn(draw.uniform(-math.pi, math.pi, part))
    stretch = torch.exp2(draw.normal(0.2))
    matrix = matrix @ _scale(stretch, 1 / stretch)
    matrix = matrix @ _turn(draw.uniform(-math.pi, math.pi, part))
    keep = (torch.rand(count, generator=rng) < p).float()
    shifts = torch.randn(2, count, generator=rng) * 0.125 * 2 * keep
    return matrix @ _shift(shifts[0], shifts[1])


def colour(count: int, p: float, rng: torch.Generator) -> Tensor:
    """Affine maps of RGB in [-1, 1]: float32 [N, 4, 4]: brightness, contrast, luma flip, hue, saturation."""
    draw = _Draw(count, p, rng)
    axis = torch.tensor([LUMA, LUMA, LUMA, 0.0])
    along = torch.outer(axis, axis)
    matrix = _eye(count, 4)
    bright = _eye(count, 4)
    bright[:, :3, 3] = draw.normal(0.2)[:, None]
    contrast = _eye(count, 4)
    contrast[:, [0, 1, 2], [0, 1, 2]] = torch.exp2(draw.normal(0.5))[:, None]
    matrix = contrast @ bright @ matrix
    matrix = (torch.eye(4) - 2 * along * draw.choice(2)[:, None, None]) @ matrix
    angle = draw.uniform(-math.pi, math.pi)[:, None, None]
    cross = LUMA * torch.tensor([[0.0, -1, 1, 0], [1, 0, -1, 0], [-1, 1, 0, 0], [0, 0, 0, 0]])
    plane = torch.diag(torch.tensor([1.0, 1, 1, 0])) - along
    matrix = (torch.eye(4) + (angle.cos() - 1) * plane + angle.sin() * cross) @ matrix
    saturation = torch.exp2(draw.normal(1.0))[:, None, None]
    return (torch.eye(4) + (saturation - 1) * plane) @ matrix


def augment(images: Tensor, p: float, rng: torch.Generator) -> Tensor:
    """Augment a batch; the same numbers come out for the same state of `rng`.

    Args:
        images: float32 [N, 3, H, H] in [-1, 1], differentiable.
        p: probability in [0, 1]; 0 gives the images themselves.
        rng: of the CPU.
    """
    if p <= 0:
        return images
    count, size = len(images), images.shape[-1]
    matrix = geometry(count, size, min(p, 1.0), rng).to(images.device)
    grid = F.affine_grid(matrix[:, :2], list(images.shape), align_corners=False)
    images = F.grid_sample(images, grid, mode="bilinear", padding_mode="reflection", align_corners=False)
    mixing = colour(count, min(p, 1.0), rng).to(images.device)
    return torch.einsum("nij,njhw->nihw", mixing[:, :3, :3], images) + mixing[:, :3, 3, None, None]


class AdaptiveProbability:
    """p that keeps the mean sign of D on real images at a target: r_t = E[sign D(x)]; section 3 of the
    paper.
    """

    INTERVAL = 4

    def __init__(self, target: float | None, kimg: float, p: float = 0.0) -> None:
        self.target, self.kimg, self.p = target, kimg, p
        self.signs: list[float] = []

    def see(self, sign: float, step: int, batch: int) -> None:
        """Take the mean sign of one step; every fourth step moves p by what those images are worth."""
        self.signs.append(sign)
        if self.target is None or (step + 1) % self.INTERVAL:
            return
        seen = sum(self.signs[-self.INTERVAL :]) / min(len(self.signs), self.INTERVAL)
        change = batch * self.INTERVAL / (self.kimg * 1000)
        self.p = min(max(self.p + (change if seen > self.target else -change), 0.0), 1.0)
        self.signs = []
