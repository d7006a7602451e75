"""What a loss gets and gives, and the pieces that several losses share."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

import torch
import torch.nn.functional as F
from torch import Tensor

from manifests.registry import Registry


@dataclass(frozen=True)
class Targets:
    """The truth of a batch. fake: float32 [N], 0 or 1. groups: int64 [N] per head and `cell`, -1 where unknown."""

    fake: Tensor
    groups: Mapping[str, Tensor]


class Loss(Protocol):
    """Maps the network's outputs and the truth to one number.

    needs_heads: demographic heads it uses (any of those there, when empty). needs_cells: whether it groups by cell.
    """

    needs_heads: bool
    needs_cells: bool

    def __call__(self, outputs: Mapping[str, Tensor], targets: Targets, smoothing: float) -> Tensor:
        """The loss, float32 scalar. smoothing: share of the label given to the other class, halved."""
        ...


LOSSES: Registry[Loss] = Registry("loss", "detector.losses")


def sample_losses(outputs: Mapping[str, Tensor], targets: Targets, smoothing: float) -> Tensor:
    """Binary cross entropy per sample, float32 [N]; the label is y (1 - s) + s / 2."""
    truth = targets.fake * (1 - smoothing) + smoothing / 2
    return F.binary_cross_entropy_with_logits(outputs["fake"].float(), truth, reduction="none")


def group_loss(logits: Tensor, truth: Tensor) -> Tensor:
    """Cross entropy of a demographic head, mean over samples whose group is known; 0 when none is."""
    known = truth >= 0
    if not bool(known.any()):
        return logits.float().sum() * 0.0
    return F.cross_entropy(logits.float()[known], truth[known])


def cvar(losses: Tensor, alpha: float) -> Tensor:
    """Conditional value at risk: min over lambda of lambda + 1/(alpha N) sum [l - lambda]_+, in closed form.

    The mean of the worst alpha N losses, the last one counted by its fraction (Rockafellar & Uryasev, 2000; the risk
    of Ju et al., WACV 2024, eq. 2). losses: [N]. alpha: in (0, 1]; 1 is the mean.
    """
    worst = losses.sort(descending=True).values
    mass = alpha * len(worst)
    shares = (mass - torch.arange(len(worst), device=worst.device, dtype=worst.dtype)).clamp(0, 1)
    return (worst * shares).sum() / mass
