"""Cross entropy of the demographic heads alone, to be added to any objective."""

from __future__ import annotations

from torch import Tensor

from detector.losses.base import DEMOGRAPHIC, LOSSES, Loss, Needs, Outputs, Targets, group_loss, nothing
from manifests.registry import Params


def demographic_losses(outputs: Outputs, targets: Targets) -> list[Tensor]:
    """Cross entropy of each demographic head that the network has, over rows whose group is known."""
    return [group_loss(outputs[name], targets.groups[name]) for name in DEMOGRAPHIC if name in outputs]


@LOSSES.register(
    "demographic",
    family="multi-task",
    paper="Ezeakunne, Eze, Liu, ICAART 2025, arXiv 2412.16428 [recon]",
)
class Demographic(Loss):
    """Sum of the cross entropies of the demographic heads: `daw-fdd + 0.1 * demographic` makes any objective
    multi-task.

    With `head_mode = "reversed"` the heads learn to tell and the trunk to hide (Ganin & Lempitsky, ICML
    2015). Rows of unknown group are left out; a head without known rows in the batch adds 0.
    """

    role = "penalty"
    needs = Needs(demographic_head=True)
    trains = DEMOGRAPHIC

    def __init__(self, params: Params) -> None:
        self.params = params

    def __call__(self, outputs: Outputs, targets: Targets, smoothing: float) -> Tensor:
        return sum(demographic_losses(outputs, targets), nothing(outputs))
