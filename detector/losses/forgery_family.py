"""Cross entropy of the head that tells the forgery's family."""

from __future__ import annotations

from torch import Tensor

from detector.losses.base import LOSSES, Loss, Needs, Outputs, Targets, group_loss
from manifests.registry import Params


@LOSSES.register("forgery-family", family="multi-task")
class ForgeryFamily(Loss):
    """Cross entropy over the families of the training rows, `none` (real) among them; unknown rows are left
    out.
    """

    role = "penalty"
    needs = Needs(heads=("family",), groups=("family",))
    trains = ("family",)

    def __init__(self, params: Params) -> None:
        self.params = params

    def __call__(self, outputs: Outputs, targets: Targets, smoothing: float) -> Tensor:
        return group_loss(outputs["family"], targets.groups["family"])
