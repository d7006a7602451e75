"""The running average of a network's weights (EMA), which is what trainings save, and how fast it forgets."""

from __future__ import annotations

import torch
from torch import nn


def warming_decay(decay: float, step: int) -> float:
    """min(decay, (1 + step) / (10 + step)): early averages forget the random start.

    Args:
        decay: what is kept of the average at a step in the long run, in [0, 1).
        step: from 0.
    """
    return min(decay, (1 + step) / (10 + step))


@torch.no_grad()
def average_into(average: nn.Module, network: nn.Module, keep: float, *, buffers: bool = True) -> None:
    """Move `average` towards `network`, in place: average * keep + network * (1 - keep).

    Args:
        average: a network of the same parts.
        network: the one that is trained.
        keep: share of the average that stays, in [0, 1]; 0 copies.
        buffers: whether buffers of floating point (statistics of normalisation) are averaged too; else they
            are copied, as integers always are.
    """
    weights, statistics = dict(network.named_parameters()), dict(network.named_buffers())
    for name, weight in average.named_parameters():
        weight.lerp_(weights[name], 1 - keep)
    for name, buffer in average.named_buffers():
        if buffers and buffer.dtype.is_floating_point:
            buffer.lerp_(statistics[name], 1 - keep)
        else:
            buffer.copy_(statistics[name])
