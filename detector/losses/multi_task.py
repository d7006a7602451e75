"""Real/fake and demographic heads together."""

from __future__ import annotations

from pydantic import Field
from torch import Tensor

from detector.losses.base import DEMOGRAPHIC, LOSSES, Loss, LossParams, Needs, Outputs, Targets, sample_losses
from detector.losses.demographic import demographic_losses


class MultiTaskParams(LossParams):
    """demographic_weight: lambda, the weight of each demographic head's cross entropy."""

    demographic_weight: float = Field(default=0.1, ge=0.0)


@LOSSES.register(
    "multi-task",
    family="multi-task",
    params=MultiTaskParams,
    paper="Ezeakunne, Eze, Liu, ICAART 2025, arXiv 2412.16428 [recon]",
)
class MultiTask(Loss):
    """CE(real/fake) + lambda (CE(race) + CE(gender) + CE(cell)), over the demographic heads that the network
    has.

    [recon]: the paper leaves open whether one head tells the cell or one head each its race and gender, and
    lambda.
    """

    needs = Needs(demographic_head=True)
    trains = DEMOGRAPHIC

    def __init__(self, params: MultiTaskParams) -> None:
        self.params = params

    def __call__(self, outputs: Outputs, targets: Targets, smoothing: float) -> Tensor:
        total = sample_losses(outputs, targets, smoothing).mean()
        for value in demographic_losses(outputs, targets):
            total = total + self.params.demographic_weight * value
        return total
