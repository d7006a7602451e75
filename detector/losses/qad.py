"""QAD: features of one image agree over its qualities, and the weights stand a small push."""

from __future__ import annotations

from itertools import combinations
from typing import Annotated

import torch
from pydantic import Field
from torch import Tensor

from detector.losses.base import (
    LOSSES,
    Loss,
    LossParams,
    Needs,
    Outputs,
    Targets,
    WeightPerturbation,
    nothing,
    sample_losses,
)
from detector.losses.kernels import gaussian, hsic, pooled


class QadParams(LossParams):
    """alpha: weight of HSIC. layer_weights: w_l, of the last stages of the trunk, the deepest last. sigma: of
    the kernel.

    awp_gamma, awp_after: size of the adversarial weight perturbation, and epochs without it; gamma 0 turns it
    off.
    """

    alpha: float = Field(default=0.003, ge=0.0)
    layer_weights: tuple[Annotated[float, Field(ge=0.0)], ...] = Field(
        default=(0.1, 0.25, 0.5), min_length=1, max_length=8
    )
    sigma: float = Field(default=6.0, ge=1e-3)
    awp_gamma: float = Field(default=0.002, ge=0.0, le=1.0)
    awp_after: int = Field(default=3, ge=0)


def aligned(targets: Targets) -> list[Tensor]:
    """Rows of each quality that the batch has, each list in the order of its images: int64 [images at that
    quality].
    """
    assert targets.tuples is not None
    assert targets.qualities is not None
    out = []
    for quality in targets.qualities.unique():
        rows = (targets.qualities == quality).nonzero()[:, 0]
        out.append(rows[targets.tuples[rows].argsort()])
    return out


def common(targets: Targets, first: Tensor, second: Tensor) -> tuple[Tensor, Tensor]:
    """Those of two qualities' rows whose image stands in both, aligned."""
    assert targets.tuples is not None
    a, b = targets.tuples[first], targets.tuples[second]
    return first[torch.isin(a, b)], second[torch.isin(b, a)]


@LOSSES.register("qad", family="fair", params=QadParams, paper="Le & Woo, ICCV 2023, arXiv 2309.05911")
class Qad(Loss):
    """Sum over qualities of CE - alpha sum_l w_l sum_{q<q'} HSIC(z_l^q, z_l^q'), HSIC = tr(KHLH) / (m - 1)^2.

    Rows of two qualities are aligned by their image; images that one of the two lacks are left out of that
    HSIC, and fewer than two images give 0. [recon]: feature maps are averaged over places, since a Gaussian
    of width 6 on whole maps is the identity. Asks for adversarial weight perturbation (Wu, Xia & Wang,
    NeurIPS 2020), `weight_perturbation`.
    """

    def __init__(self, params: QadParams) -> None:
        self.params = params
        self.needs = Needs(layers=len(params.layer_weights), tuples=True, network="single")
        if params.awp_gamma > 0:
            self.perturbation = WeightPerturbation(params.awp_gamma, params.awp_after)

    def agreement(self, outputs: Outputs, targets: Targets, rows: list[Tensor]) -> Tensor:
        """Sum over layers and pairs of qualities of w_l HSIC."""
        total = nothing(outputs).double()
        for layer, weight in enumerate(self.params.layer_weights):
            z = pooled(outputs[f"layers.{layer}"], "mean")
            for first, second in combinations(rows, 2):
                a, b = common(targets, first, second)
                if len(a) > 1:
                    kernels = (gaussian(z[side], self.params.sigma**2) for side in (a, b))
                    total = total + weight * hsic(*kernels)
        return total

    def __call__(self, outputs: Outputs, targets: Targets, smoothing: float) -> Tensor:
        losses, rows = sample_losses(outputs, targets, smoothing), aligned(targets)
        entropy = torch.stack([losses[side].mean() for side in rows]).sum()
        return entropy - (self.params.alpha * self.agreement(outputs, targets, rows)).to(entropy.dtype)
