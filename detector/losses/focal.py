"""Focal loss: easy samples count less."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor

from detector.losses.base import LOSSES, Loss, LossParams, Outputs, Targets, smoothed


class FocalParams(LossParams):
    """gamma: how much easy samples are played down; 0 is cross entropy. alpha: weight of fakes, 1 - alpha of
    reals.

    alpha None: both weigh 1. The paper's 0.25 is for detection with few foregrounds, not for balanced
    batches.
    """

    gamma: float = Field(default=2.0, ge=0.0, le=20.0)
    alpha: float | None = Field(default=None, ge=0.0, le=1.0)


@LOSSES.register(
    "focal", family="baseline", params=FocalParams, paper="Lin et al., ICCV 2017, arXiv 1708.02002"
)
class Focal(Loss):
    """FL = -alpha_t (1 - p_t)^gamma log p_t (eq. 5), p_t the probability of the true class; mean over the
    batch.

    A smoothed label t gives t FL(fake) + (1 - t) FL(real).
    """

    def __init__(self, params: FocalParams) -> None:
        self.params = params

    def __call__(self, outputs: Outputs, targets: Targets, smoothing: float) -> Tensor:
        logits = outputs["fake"] if outputs["fake"].dtype == torch.float64 else outputs["fake"].float()
        truth = smoothed(targets, smoothing).to(logits.dtype)
        alpha, gamma = self.params.alpha, self.params.gamma
        weights = (1.0, 1.0) if alpha is None else (1 - alpha, alpha)
        real = weights[0] * torch.sigmoid(logits) ** gamma * F.softplus(logits)
        fake = weights[1] * torch.sigmoid(-logits) ** gamma * F.softplus(-logits)
        return (truth * fake + (1 - truth) * real).mean()
