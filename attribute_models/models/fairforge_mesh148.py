"""Landmark model `fairforge-mesh148`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from attribute_models.models import ATTRIBUTE_MODELS, DeviceParams
from manifests.weights import find_weight

if TYPE_CHECKING:
    from attribute_models.landmarks.mesh import Landmarker

NAME = "fairforge-mesh148"


@ATTRIBUTE_MODELS.register(
    NAME, family="landmarks", params=DeviceParams,
    paper="Feng et al., Wing loss for robust facial landmark localisation, CVPR 2018",
)
def fairforge_mesh148(params: DeviceParams) -> Landmarker:
    """148 points of the face mesh (scheme mesh148) of an aligned face; trained on FairFace with machine-made labels."""
    from attribute_models.landmarks.mesh import Landmarker

    return Landmarker(find_weight(NAME, "landmarks"), params.device)
