"""Identity model `dlib-resnet`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from attribute_models.models import ATTRIBUTE_MODELS, DeviceParams
from manifests.weights import Weight

if TYPE_CHECKING:
    from attribute_models.identity.embeddings import DlibResnet


def _weight() -> Weight:
    from attribute_models.identity.embeddings import dlib_weight

    return dlib_weight()


@ATTRIBUTE_MODELS.register(
    "dlib-resnet", family="identity", params=DeviceParams, licence="CC0-1.0 (weights)", weight=_weight,
    paper="King, Dlib-ml: a machine learning toolkit, JMLR 2009; ResNet-29 metric-learning model of 2017",
)
def dlib_resnet(params: DeviceParams) -> DlibResnet:
    """128 numbers per face, Euclidean distance below 0.6 for one person: dlib's face recognition ResNet."""
    from attribute_models.identity.embeddings import DlibResnet

    return DlibResnet(params.device)
