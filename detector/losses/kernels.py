"""Dependence of two sets of features in a batch: Gaussian kernels, HSIC, normalised HSIC, COCO. In float64
inside.

Matrices are m x m for a batch of m rows, so that float64 costs little and inverses keep their digits.
"""

from __future__ import annotations

import torch
from torch import Tensor


def pooled(features: Tensor, how: str) -> Tensor:
    """Feature maps [N, C, H, W] (or tokens [N, T, C], or vectors) as one row each: `mean` over places, or
    `flatten`.
    """
    if how == "flatten" or features.ndim == 2:
        return features.flatten(1)
    return features.mean((2, 3)) if features.ndim == 4 else features.mean(1)


def squared_distances(rows: Tensor) -> Tensor:
    """Squared Euclidean distances, float64 [m, m], differentiable, exactly 0 on the diagonal. rows: [m,
    D].
    """
    values = rows.double()
    values = values - values.detach().mean(0)
    gram = values @ values.T
    norms = gram.diagonal()
    off = 1 - torch.eye(len(values), dtype=gram.dtype, device=gram.device)
    return (norms[:, None] + norms - 2 * gram).clamp(min=0) * off


def gaussian(rows: Tensor, variance: float) -> Tensor:
    """exp(-d^2 / (2 variance)): float64 [m, m]. rows: [m, D]."""
    return torch.exp(-squared_distances(rows) / (2 * variance))


def centred(kernel: Tensor) -> Tensor:
    """H K H with H = I - 1/m."""
    half = kernel - kernel.mean(0, keepdim=True)
    return half - half.mean(1, keepdim=True)


def hsic(first: Tensor, second: Tensor) -> Tensor:
    """tr(K H L H) / (m - 1)^2 of two kernels (Gretton et al., ALT 2005); 0 for fewer than two rows."""
    m = len(first)
    return (centred(first) * second).sum() / max(m - 1, 1) ** 2


def normalised_hsic(first: Tensor, second: Tensor, epsilon: float = 1e-5) -> Tensor:
    """tr(R_K R_L), R = HKH (HKH + epsilon m I)^-1 (Fukumizu et al., NeurIPS 2007; as BiDO uses it)."""
    parts = []
    for kernel in (first, second):
        c = centred(kernel)
        ridge = epsilon * len(c) * torch.eye(len(c), dtype=c.dtype, device=c.device)
        parts.append(torch.linalg.solve(c + ridge, c))
    return (parts[0] * parts[1].T).sum()


def coco(first: Tensor, second: Tensor) -> Tensor:
    """Constrained covariance sqrt(||HKH HLH||_2) / m (Gretton et al., AISTATS 2005); 0 where a kernel is
    constant.
    """
    product = centred(first) @ centred(second)
    norm = (
        torch.linalg.matrix_norm(product, ord=2)
        if bool((product.abs() > 1e-12).any())
        else product.sum() * 0.0
    )
    return norm.clamp(min=1e-24).sqrt() / len(first) if float(norm.detach()) > 0 else norm
