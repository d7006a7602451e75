"""Uniformity and alignment of features on the unit sphere."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor

from detector.losses.base import LOSSES, Loss, LossParams, Outputs, Targets, nothing
from detector.losses.kernels import squared_distances


class HypersphereParams(LossParams):
    """uniformity, alignment: weights of the two terms. t: of uniformity's kernel. alpha: exponent of the
    distance in alignment.
    """

    uniformity: float = Field(default=0.5, ge=0.0, le=100.0)
    alignment: float = Field(default=0.1, ge=0.0, le=100.0)
    t: float = Field(default=2.0, gt=0.0, le=100.0)
    alpha: float = Field(default=2.0, gt=0.0, le=10.0)


@LOSSES.register(
    "hypersphere",
    family="baseline",
    params=HypersphereParams,
    paper="Wang & Isola, ICML 2020, arXiv 2005.10242; for detectors: GenD, arXiv 2508.06248",
)
class Hypersphere(Loss):
    """w_u log mean_{i<j} exp(-t |f_i - f_j|^2) + w_a mean over pairs of one label of |f_i - f_j|^alpha, |f| =
    1.

    To be added to an objective, such as `cross-entropy + hypersphere`: features of one label come together,
    and all spread over the sphere. A batch without pairs adds 0.
    """

    role = "penalty"

    def __init__(self, params: HypersphereParams) -> None:
        self.params = params

    def __call__(self, outputs: Outputs, targets: Targets, smoothing: float) -> Tensor:
        features = F.normalize(outputs["features"].double(), dim=1)
        first, second = torch.triu_indices(len(features), len(features), 1, device=features.device)
        if len(first) == 0:
            return nothing(outputs)
        apart = squared_distances(features)[first, second]
        out = self.params.uniformity * (-self.params.t * apart).exp().mean().log()
        alike = targets.fake[first] == targets.fake[second]
        if bool(alike.any()):
            out = out + self.params.alignment * (apart[alike] + 1e-12).pow(self.params.alpha / 2).mean()
        return out.to(torch.float32)
