"""DAW-FDD: fairness with demographic labels, by the risk of the worst groups."""

from __future__ import annotations

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
    cvar,
    nothing,
    present,
    sample_losses,
)


class DawParams(LossParams):
    """alpha_in: share of the worst samples in each cell. alpha_out: share of the worst cells."""

    alpha_in: float = Field(default=0.9, gt=0.0, le=1.0)
    alpha_out: float = Field(default=0.5, gt=0.0, le=1.0)


def group_risks(losses: Tensor, groups: Tensor, alpha: float) -> Tensor:
    """CVaR inside each known group that the batch has: [groups present]. A group of one row has that row's
    loss.
    """
    return torch.stack([cvar(losses[groups == group], alpha) for group in present(groups)])


@LOSSES.register("daw-fdd", family="fair", params=DawParams, paper="Ju et al., WACV 2024, arXiv 2306.16635")
class DawFdd(Loss):
    """CVaR inside each race x gender cell of the batch, then CVaR over the cells. Unknown cells are left out.

    A cell that the batch does not have does not count, rather than count as risk 0. No known cell: 0.
    """

    needs = Needs(counts=("cell",))

    def __init__(self, params: DawParams) -> None:
        self.params = params

    def __call__(self, outputs: Outputs, targets: Targets, smoothing: float) -> Tensor:
        losses, cells = sample_losses(outputs, targets, smoothing), targets.groups["cell"]
        if not present(cells):
            return nothing(outputs)
        return cvar(group_risks(losses, cells, self.params.alpha_in), self.params.alpha_out)
