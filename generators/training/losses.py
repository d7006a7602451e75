"""Losses of GAN training: non-saturating logistic, R1, path length. Karras et al., arXiv 1912.04958,
2006.06676.

R1 (Mescheder et al., arXiv 1801.04406) is taken at what the discriminator sees, i.e. at the augmented image.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor

from generators.stylegan2.discriminator import Discriminator
from generators.stylegan2.generator import Generator


def generator_loss(fake_scores: Tensor) -> Tensor:
    """Mean of -log sigmoid(D(fake)): float32 [N, 1] -> scalar."""
    return F.softplus(-fake_scores).mean()


def discriminator_loss(real_scores: Tensor, fake_scores: Tensor) -> Tensor:
    """Mean of -log sigmoid(D(real)) - log(1 - sigmoid(D(fake))): scalar."""
    return F.softplus(-real_scores).mean() + F.softplus(fake_scores).mean()


def r1_penalty(discriminator: Discriminator, real: Tensor, c: Tensor | None) -> Tensor:
    """Mean squared length of the gradient of D at real images (without gamma / 2): scalar, differentiable,
    float32.
    """
    real = real.detach().requires_grad_(True)
    (gradient,) = torch.autograd.grad(discriminator(real, c).sum(), real, create_graph=True)
    return gradient.square().sum(dim=(1, 2, 3)).mean()


def path_lengths(generator: Generator, w: Tensor, rng: torch.Generator) -> Tensor:
    """|J_w^T y| of images y ~ N(0, 1 / pixels): float32 [N], differentiable; arXiv 1912.04958, section 3.2.

    w: float32 [N, num_ws, w_dim] with a graph behind it.
    """
    image = generator.synthesis(w, "random", rng)
    noise = torch.randn(image.shape, generator=rng).to(image.device) / math.sqrt(
        image.shape[2] * image.shape[3]
    )
    (gradient,) = torch.autograd.grad((image * noise).sum(), w, create_graph=True)
    return gradient.square().sum(dim=2).mean(dim=1).sqrt()
