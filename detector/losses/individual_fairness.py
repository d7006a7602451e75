"""Individual fairness: similar images of one label get similar scores, whoever they show."""

from __future__ import annotations

from typing import Literal

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor

from detector.losses.base import LOSSES, Loss, LossParams, Needs, Outputs, Targets, nothing
from detector.losses.kernels import squared_distances


class IndividualParams(LossParams):
    """lipschitz: L, how much of the score (0 to 1) a unit of distance may move. across: which pairs are
    compared.

    metric: `images`, root mean square of the difference of the network's inputs (1 is one standard deviation
    of the normalisation); `features`, Euclidean distance of the trunk's features at length 1, without
    gradient. across: `cells`, pairs of two different known cells; `any`, all pairs.
    """

    lipschitz: float = Field(default=0.5, ge=0.0, le=100.0)
    metric: Literal["images", "features"] = "images"
    across: Literal["any", "cells"] = "any"


@LOSSES.register(
    "individual-fairness",
    family="fair",
    params=IndividualParams,
    paper="Dwork et al., ITCS 2012, arXiv 1104.3913 [recon]",
)
class IndividualFairness(Loss):
    """Mean over pairs i < j of one label of [|p_i - p_j| - L d(x_i, x_j)]_+, p the fake probability.

    The Lipschitz condition of Dwork et al. (def. 2.1) as a hinge. [recon]: only pairs of one label count,
    since a real face and its forgery are near each other and must not score alike; metric and hinge are ours.
    No such pair: 0.
    """

    role = "penalty"

    def __init__(self, params: IndividualParams) -> None:
        self.params = params
        self.needs = Needs(groups=("cell",) if params.across == "cells" else ())

    def _allowed(self, targets: Targets) -> Tensor:
        same = targets.fake[:, None] == targets.fake
        if self.params.across == "cells":
            cells = targets.groups["cell"]
            same = same & (cells[:, None] != cells) & (cells[:, None] >= 0) & (cells >= 0)
        return same.triu(1)

    def __call__(self, outputs: Outputs, targets: Targets, smoothing: float) -> Tensor:
        logits, allowed = outputs["fake"], self._allowed(targets)
        if not bool(allowed.any()):
            return nothing(outputs)
        if self.params.metric == "images":
            assert targets.images is not None
            flat = targets.images.flatten(1)
            far = squared_distances(flat.detach()).sqrt() / flat.shape[1] ** 0.5
        else:
            far = squared_distances(F.normalize(outputs["features"].detach().double(), dim=1)).sqrt()
        scores = torch.sigmoid(logits.double())
        first, second = allowed.nonzero(as_tuple=True)
        gaps = (scores[first] - scores[second]).abs() - self.params.lipschitz * far[first, second]
        return gaps.clamp(min=0).mean().to(torch.float32)
