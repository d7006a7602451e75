"""Stable reweighting: sample weights under which the features are independent of each other."""

from __future__ import annotations

import torch
from pydantic import Field
from torch import Tensor

from detector.losses.base import LOSSES, Loss, LossParams, Outputs, Targets, sample_losses


class ReweightingParams(LossParams):
    """steps, rate: of the descent on the weights in each batch. dims: at most so many features, evenly
    spaced.

    rate: the most that a weight's logarithm moves in one step. sigma: of the Gaussian kernel on standardised
    features.
    """

    steps: int = Field(default=10, ge=0, le=1000)
    rate: float = Field(default=0.3, gt=0.0, le=5.0)
    dims: int = Field(default=64, ge=2, le=4096)
    sigma: float = Field(default=1.0, ge=1e-3)


def dimension_kernels(features: Tensor, dims: int, sigma: float) -> Tensor:
    """One Gaussian kernel for each feature at unit variance: float64 [D, n, n]. A feature that is constant:
    all ones.
    """
    z = features.detach().double()
    z = z[:, :: -(-z.shape[1] // dims)]
    scale = z.std(0, correction=0)
    z = torch.where(scale > 1e-12, (z - z.mean(0)) / scale.clamp(min=1e-12), 0.0)
    return torch.exp(-((z.T[:, :, None] - z.T[:, None, :]) ** 2) / (2 * sigma**2))


def pairwise_dependence(kernels: Tensor, weights: Tensor) -> Tensor:
    """Sum over k < l of HSIC_w(z_k, z_l), the HSIC of the weighted sample: float64 scalar.

    With p = w / n and C_k = (I - 1 p') K_k (I - p 1'), HSIC_w = sum_ij p_i p_j C_k,ij C_l,ij; the sum over
    pairs is half of |sum_k C_k|^2 - sum_k |C_k|^2 in that inner product. kernels: [D, n, n]. weights: [n], of
    sum n.
    """
    p = weights / weights.sum()
    half = kernels - (p @ kernels)[:, None, :]
    c = half - (half @ p)[:, :, None]
    every = (c.sum(0) ** 2 - (c**2).sum(0)) / 2
    return p @ every @ p


def stable_weights(kernels: Tensor, steps: int, rate: float) -> Tensor:
    """Weights w >= 0 of sum n with a lower `pairwise_dependence` than all ones: float64 [n].

    Multiplicative (exponentiated) gradient descent from w = 1, its step halved while the dependence would
    rise.
    """
    weights = torch.ones(kernels.shape[1], dtype=kernels.dtype, device=kernels.device)
    for _ in range(steps):
        with torch.enable_grad():
            at = weights.clone().requires_grad_()
            value = pairwise_dependence(kernels, at)
            (slope,) = torch.autograd.grad(value, at)
        largest = slope.abs().max()
        if float(largest) == 0.0:
            break
        for halving in range(8):
            moved = weights * torch.exp(-(rate / 2**halving) * slope / largest)
            moved = moved * (len(moved) / moved.sum())
            if float(pairwise_dependence(kernels, moved)) < float(value.detach()):
                weights = moved
                break
        else:
            break
    return weights


@LOSSES.register(
    "stable-reweighting",
    family="fair",
    params=ReweightingParams,
    paper="DESMIL, arXiv 2207.07910 [recon]",
)
class StableReweighting(Loss):
    """sum_i w_i CE_i / n, w minimising sum_{k<l} HSIC_w(z_k, z_l) over the features z, w >= 0, sum w = n.

    [recon]: w is found anew in each batch, from w = 1, by a few steps; it carries no gradient and no state.
    One row: w = 1.
    """

    def __init__(self, params: ReweightingParams) -> None:
        self.params = params

    def __call__(self, outputs: Outputs, targets: Targets, smoothing: float) -> Tensor:
        losses = sample_losses(outputs, targets, smoothing)
        kernels = dimension_kernels(outputs["features"], self.params.dims, self.params.sigma)
        weights = stable_weights(kernels, self.params.steps, self.params.rate)
        return (weights.to(losses.dtype) * losses).mean()
