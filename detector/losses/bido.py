"""Bilateral dependency, what BiDO-HSIC and BiDO-COCO share: features depend on the label, not on what was
shown.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import ClassVar, Literal

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor

from detector.losses.base import Loss, LossParams, Needs, Outputs, Targets, nothing
from detector.losses.kernels import gaussian, pooled


class BidoParams(LossParams):
    """against: X, what the features shall not tell. layers: Z_j, so many last stages of the trunk.

    against: `images`, the network's input, as in the paper (against model inversion); `cell`, `race` or
    `gender`, one-hot, a fairness penalty [recon]. hide, keep: a1, a2, weights of d(X, Z_j) and d(Z_j, Y).
    sigma: kernels are exp(-D^2 / (2 sigma^2 dim)), dim the number of values in a row. pooling: of feature
    maps; the paper flattens.
    """

    against: Literal["images", "cell", "race", "gender"] = "images"
    layers: int = Field(default=3, ge=1, le=8)
    hide: float = Field(default=0.05, ge=0.0)
    keep: float = Field(default=0.5, ge=0.0)
    sigma: float = Field(default=5.0, ge=1e-3)
    pooling: Literal["flatten", "mean"] = "flatten"


class BidoPenalty(Loss):
    """Sum over layers of a1 d(X, Z_j) - a2 d(Z_j, Y); beside cross entropy it is BiDO (Peng et al., KDD
    2022).

    Rows of unknown X are left out of d(X, Z_j). Fewer than two rows, one group, or one label give d = 0.
    """

    role = "penalty"
    dependence: ClassVar[Callable[..., Tensor]]

    def __init__(self, params: BidoParams) -> None:
        self.params = params
        demographic = () if params.against == "images" else (params.against,)
        self.needs = Needs(layers=params.layers, groups=demographic, network="single")

    def kernel(self, rows: Tensor) -> Tensor:
        """The Gaussian kernel of rows [m, D], of width sigma^2 D."""
        return gaussian(rows, self.params.sigma**2 * rows.shape[1])

    def _hidden(self, targets: Targets) -> tuple[Tensor, Tensor]:
        """X as rows, and which rows of the batch they are."""
        if self.params.against == "images":
            assert targets.images is not None
            rows = targets.images.flatten(1)
            return rows, torch.ones(len(rows), dtype=torch.bool, device=rows.device)
        groups = targets.groups[self.params.against]
        known = groups >= 0
        return F.one_hot(groups[known], max(int(groups.max()) + 1, 2)), known

    def __call__(self, outputs: Outputs, targets: Targets, smoothing: float) -> Tensor:
        x, known = self._hidden(targets)
        hidden = self.kernel(x)
        label = self.kernel(F.one_hot(targets.fake.long(), 2))
        total = nothing(outputs).double()
        for layer in range(self.params.layers):
            z = pooled(outputs[f"layers.{layer}"], self.params.pooling)
            kernel, d = self.kernel(z), type(self).dependence
            if int(known.sum()) > 1:
                total = total + self.params.hide * d(hidden, kernel[known][:, known])
            if len(z) > 1:
                total = total - self.params.keep * d(kernel, label)
        return total.to(torch.float32)
