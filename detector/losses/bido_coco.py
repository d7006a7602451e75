"""BiDO with the constrained covariance."""

from __future__ import annotations

from pydantic import Field

from detector.losses.base import LOSSES
from detector.losses.bido import BidoParams, BidoPenalty
from detector.losses.kernels import coco


class BidoCocoParams(BidoParams):
    """See `BidoParams`; COCO is small, so its weights are larger."""

    hide: float = Field(default=5.0, ge=0.0)
    keep: float = Field(default=50.0, ge=0.0)


@LOSSES.register(
    "bido-coco", family="fair", params=BidoCocoParams, paper="Peng et al., KDD 2022, arXiv 2206.05483"
)
class BidoCoco(BidoPenalty):
    """a1 COCO(X, Z_j) - a2 COCO(Z_j, Y) over layers, COCO = sqrt(||K L||_2) / m of centred kernels."""

    dependence = staticmethod(coco)
