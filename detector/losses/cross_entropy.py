"""Cross entropy of real/fake: plain empirical risk minimisation, the baseline."""

from __future__ import annotations

from torch import Tensor

from detector.losses.base import LOSSES, Loss, Outputs, Targets, sample_losses
from manifests.registry import Params


@LOSSES.register("cross-entropy", family="baseline")
class CrossEntropy(Loss):
    """Binary cross entropy of real/fake; demographic heads are not trained."""

    def __init__(self, params: Params) -> None:
        self.params = params

    def __call__(self, outputs: Outputs, targets: Targets, smoothing: float) -> Tensor:
        return sample_losses(outputs, targets, smoothing).mean()
