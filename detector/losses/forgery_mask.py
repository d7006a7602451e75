"""Supervision of the mask decoder by the forgery masks."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from detector.losses.base import LOSSES, Loss, Needs, Outputs, Targets, nothing
from manifests.registry import Params


@LOSSES.register("forgery-mask", family="multi-task")
class ForgeryMask(Loss):
    """Binary cross entropy per pixel of the decoder's mask, mean over rows whose mask is known.

    A real image's mask is all zero. The true mask (alpha, 0 to 1) is averaged down to the decoder's size.
    Rows without a known mask are left out; none known: 0.
    """

    role = "penalty"
    needs = Needs(masks=True, network="single")
    trains = ("mask",)

    def __init__(self, params: Params) -> None:
        self.params = params

    def __call__(self, outputs: Outputs, targets: Targets, smoothing: float) -> Tensor:
        assert targets.masks is not None
        logits = outputs["mask"] if outputs["mask"].dtype == torch.float64 else outputs["mask"].float()
        known = targets.masks.amin((1, 2)) >= 0
        if not bool(known.any()):
            return nothing(outputs) + logits.sum() * 0.0
        truth = F.adaptive_avg_pool2d(
            targets.masks[known][:, None].to(logits.dtype), (logits.shape[1], logits.shape[2])
        )[:, 0]
        return F.binary_cross_entropy_with_logits(logits[known], truth)
