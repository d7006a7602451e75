"""Optimizer, learning rate and weight average of a training, out of its settings."""

from __future__ import annotations

import math
from collections.abc import Sequence

from torch import nn
from torch.optim import SGD, AdamW, Optimizer

from detector.training.settings import TrainSettings
from detector.training.sharpness import SAM, Reduce, Variant


def build_optimizer(settings: TrainSettings, network: nn.Module, reduce: Reduce | None = None) -> SAM:
    """The optimizer of the settings. `sgd` and `adamw` are SAM with rho 0, which is the plain optimizer bit
    for bit.

    Weight decay is left out for biases and normalisation (tensors of one dimension). reduce: sums gradients
    of processes.
    """
    trained = [p for p in network.parameters() if p.requires_grad]
    groups = [
        {"params": [p for p in trained if p.ndim > 1], "weight_decay": settings.weight_decay},
        {"params": [p for p in trained if p.ndim <= 1], "weight_decay": 0.0},
    ]
    variant: Variant | None = settings.optimizer if settings.optimizer in ("sam", "asam", "gsam") else None
    name = settings.base_optimizer if variant else settings.optimizer
    base: Optimizer
    if name == "sgd":
        base = SGD(groups, lr=settings.lr, momentum=settings.momentum, nesterov=settings.momentum > 0)
    else:
        base = AdamW(groups, lr=settings.lr)
    return SAM(
        network,
        base,
        settings.rho if variant else 0.0,
        variant=variant or "sam",
        eta=settings.eta,
        alpha=settings.alpha,
        clip=settings.clip,
        reduce=reduce,
        local_ascent=settings.ascent == "process",
    )


def rate_at(
    step: int,
    steps: int,
    warmup: float,
    schedule: str = "cosine",
    milestones: Sequence[float] = (),
    decay: float = 0.1,
) -> float:
    """Factor on the learning rate, in (0, 1]: linear over the first `warmup` share of the steps, then by the
    schedule.

    `cosine`: half a cosine from 1 to 0 (Loshchilov & Hutter, ICLR 2017, eq. 5, one cycle). `step`: times
    `decay` from each milestone on, a share of all steps. `constant`: 1.
    """
    at = (step + 1) / (steps + 1)
    if at < warmup:
        return at / warmup
    if schedule == "constant":
        return 1.0
    if schedule == "step":
        return float(decay ** sum(at >= share for share in milestones))
    return 0.5 * (1 + math.cos(math.pi * (at - warmup) / (1 - warmup)))
