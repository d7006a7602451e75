"""LDAM: larger margins for rarer classes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor

from detector.losses.base import LOSSES, Given, Loss, LossParams, Needs, Outputs, Targets, group_loss
from manifests.errors import UsageError

Head = Literal["fake", "race", "gender", "cell", "family"]


class LdamParams(LossParams):
    """head: whose margins. max_margin: of the rarest class. scale: s, of the cosine head that the loss asks
    for.
    """

    head: Head = "fake"
    max_margin: float = Field(default=0.5, ge=0.0, le=2.0)
    scale: float = Field(default=30.0, gt=0.0, le=1000.0)


def margins(counts: Sequence[int], largest: float) -> Tensor:
    """n_j^(-1/4), scaled so that the largest is `largest`: float64 [classes]. A class without rows gets 0.

    Raises:
        UsageError: no class has a row.
    """
    found = torch.tensor(counts, dtype=torch.float64)
    if not bool((found > 0).any()):
        raise UsageError(
            "loss 'ldam'", "needs the training rows of each class, and there are none", "choose another loss"
        )
    inverse = torch.where(found > 0, found.clamp(min=1) ** -0.25, 0.0)
    return inverse * (largest / inverse.max())


def ldam_loss(logits: Tensor, truth: Tensor, steps: Tensor) -> Tensor:
    """Cross entropy with `steps[truth]` taken from the true class's logit; unknown rows (-1) are left out.

    logits: [N, C], s cos(theta). truth: int64 [N]. steps: [C], s times the margins.
    """
    shift = F.one_hot(truth.clamp(min=0), logits.shape[1]) * steps.to(logits.device, torch.float32)
    return group_loss(logits - shift.to(logits.dtype), truth)


@LOSSES.register(
    "ldam", family="baseline", params=LdamParams, paper="Cao et al., NeurIPS 2019, arXiv 1906.07413"
)
class Ldam(Loss):
    """-log softmax of s (cos_y - Delta_y) among s cos_j (sec. 3), Delta_j = C n_j^(-1/4), n_j training rows
    of class j.

    On `fake` it is the objective, its two class vectors opposite, so that one logit z = s (cos_1 - cos_0) = 2
    s cos_1 says both: z - s Delta_1 for fakes, z + s Delta_0 for reals. On another head it is a penalty over
    rows of known class. The head becomes a cosine classifier, whose logits carry s already.
    """

    def __init__(self, params: LdamParams) -> None:
        self.params = params
        head = params.head
        self.role = "objective" if head == "fake" else "penalty"
        self.needs = Needs(
            heads=(head,), counts=(head,), cosine={head: params.scale * (2 if head == "fake" else 1)}
        )
        self.trains = () if head == "fake" else (head,)
        self.steps: Tensor | None = None

    def prepare(self, given: Given) -> None:
        if self.params.head not in given.counts:
            raise UsageError(
                "loss 'ldam'",
                f"needs the number of training rows of each class of {self.params.head}",
                "train on a manifest that has them, or choose another loss",
            )
        self.steps = self.params.scale * margins(given.counts[self.params.head], self.params.max_margin)

    def __call__(self, outputs: Outputs, targets: Targets, smoothing: float) -> Tensor:
        if self.steps is None:
            raise UsageError(
                "loss 'ldam'", "has no class counts", "prepare it with the training rows' counts"
            )
        if self.params.head != "fake":
            return ldam_loss(outputs[self.params.head], targets.groups[self.params.head], self.steps)
        logits = outputs["fake"] if outputs["fake"].dtype == torch.float64 else outputs["fake"].float()
        real, fake = self.steps.tolist()
        truth = targets.fake.to(logits.dtype) * (1 - smoothing) + smoothing / 2
        return (truth * F.softplus(fake - logits) + (1 - truth) * F.softplus(logits + real)).mean()
