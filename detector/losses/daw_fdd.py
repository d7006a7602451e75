"""DAW-FDD: fairness with demographic labels, by the risk of the worst groups."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from pydantic import Field
from torch import Tensor

from detector.losses.base import LOSSES, Targets, cvar, sample_losses
from manifests.registry import Params


class DawParams(Params):
    """alpha_in: share of the worst samples in each cell. alpha_out: share of the worst cells."""

    alpha_in: float = Field(default=0.9, gt=0.0, le=1.0)
    alpha_out: float = Field(default=0.5, gt=0.0, le=1.0)


@LOSSES.register("daw-fdd", family="fair", params=DawParams, paper="Ju et al., WACV 2024, arXiv 2306.16635")
class DawFdd:
    """CVaR inside each race x gender cell of the batch, then CVaR over the cells. Unknown cells are left out."""

    needs_heads = False
    needs_cells = True

    def __init__(self, params: DawParams) -> None:
        self.params = params

    def __call__(self, outputs: Mapping[str, Tensor], targets: Targets, smoothing: float) -> Tensor:
        losses, cells = sample_losses(outputs, targets, smoothing), targets.groups["cell"]
        present = [int(c) for c in cells.unique() if c >= 0]
        if not present:
            return losses.sum() * 0.0
        risks = [cvar(losses[cells == cell], self.params.alpha_in) for cell in present]
        return cvar(torch.stack(risks), self.params.alpha_out)
