"""BiDO with the normalised Hilbert-Schmidt independence criterion."""

from __future__ import annotations

from detector.losses.base import LOSSES
from detector.losses.bido import BidoParams, BidoPenalty
from detector.losses.kernels import normalised_hsic


class BidoHsicParams(BidoParams):
    """See `BidoParams`."""


@LOSSES.register(
    "bido-hsic", family="fair", params=BidoHsicParams, paper="Peng et al., KDD 2022, arXiv 2206.05483"
)
class BidoHsic(BidoPenalty):
    """a1 HSIC(X, Z_j) - a2 HSIC(Z_j, Y) over layers, normalised: tr(R_X R_Z), R = K (K + 1e-5 m I)^-1, K
    centred.
    """

    dependence = staticmethod(normalised_hsic)
