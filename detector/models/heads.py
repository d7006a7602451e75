"""Heads on a trunk's features, and how much of their gradient the trunk gets."""

from __future__ import annotations

import math
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

MODES = ("shared", "reversed", "detached")


class _Reverse(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, features: Tensor, strength: float) -> Tensor:
        ctx.strength = strength
        return features.view_as(features)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:
        return -ctx.strength * gradient, None


def reverse_gradient(features: Tensor, strength: float) -> Tensor:
    """The features themselves, whose gradient comes back times -strength (Ganin & Lempitsky, ICML 2015, eq.
    14-15).
    """
    return _Reverse.apply(features, strength)


def reversal_ramp(progress: float) -> float:
    """2 / (1 + exp(-10 p)) - 1, from 0 at the start to nearly 1 at the end (Ganin & Lempitsky, ICML 2015,
    sec. 4).
    """
    return 2 / (1 + math.exp(-10 * progress)) - 1


def head_input(features: Tensor, mode: str, strength: float) -> Tensor:
    """What a demographic head sees: the features, with the gradient of `mode` (see
    `TrainSettings.head_mode`).
    """
    if mode == "detached":
        return features.detach()
    return reverse_gradient(features, strength) if mode == "reversed" else features


class CosineHead(nn.Module):
    """Logits s cos(features, w_j): a classifier without bias and lengths, as LDAM takes it. Output: [N,
    classes].
    """

    def __init__(self, width: int, classes: int, scale: float) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(classes, width))
        nn.init.xavier_normal_(self.weight)
        self.scale = scale

    def forward(self, features: Tensor) -> Tensor:
        return self.scale * F.linear(F.normalize(features.float(), dim=1), F.normalize(self.weight, dim=1))


def build_head(width: int, classes: int, scale: float | None) -> nn.Module:
    """A linear head, or a cosine head of this scale."""
    return nn.Linear(width, classes) if scale is None else CosineHead(width, classes, scale)
