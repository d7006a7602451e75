"""DAG-FDD: fairness without demographic labels, by the risk of the worst samples."""

from __future__ import annotations

from pydantic import Field
from torch import Tensor

from detector.losses.base import LOSSES, Loss, LossParams, Outputs, Targets, cvar, sample_losses


class DagParams(LossParams):
    """alpha: share of the samples that count, the worst ones."""

    alpha: float = Field(default=0.5, gt=0.0, le=1.0)


@LOSSES.register("dag-fdd", family="fair", params=DagParams, paper="Ju et al., WACV 2024, arXiv 2306.16635")
class DagFdd(Loss):
    """CVaR over the batch's cross entropies: whoever the worst-off group is, it is among the worst
    samples.
    """

    def __init__(self, params: DagParams) -> None:
        self.params = params

    def __call__(self, outputs: Outputs, targets: Targets, smoothing: float) -> Tensor:
        return cvar(sample_losses(outputs, targets, smoothing), self.params.alpha)
