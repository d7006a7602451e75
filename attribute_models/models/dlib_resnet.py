"""Identity model `dlib-resnet`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from attribute_models.models import ATTRIBUTE_MODELS
from manifests.registry import Params

if TYPE_CHECKING:
    from attribute_models.identity import DlibResnet


@ATTRIBUTE_MODELS.register(
    "dlib-resnet", family="identity", licence="CC0-1.0 (weights), BSL-1.0 (dlib)",
    paper="King, Dlib-ml: a machine learning toolkit, JMLR 2009; ResNet-29 metric-learning model of 2017",
)
def dlib_resnet(params: Params) -> DlibResnet:
    """128 numbers per face, Euclidean distance below 0.6 for one person: dlib's face recognition ResNet."""
    from attribute_models.identity import DlibResnet

    return DlibResnet()
