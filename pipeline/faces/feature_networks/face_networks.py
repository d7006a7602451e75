"""Feature networks `fairforge-small` and `fairforge-mesh148`: the embedded readers of attributes and
landmarks.
"""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING

from manifests.registry import Params
from pipeline.engine import models
from pipeline.faces.feature_networks import FEATURE_NETWORKS

if TYPE_CHECKING:
    from torch import Tensor

    from generators.training.feature_networks import FeatureNetwork

LICENCE = "weights: Apache-2.0; trained on FairFace, CC BY 4.0"


class FaceNetworkParams(Params):
    """`model`: another attribute or landmark model of the same kind, by name or file; empty: the embedded
    one.
    """

    model: str = ""


@FEATURE_NETWORKS.register(
    "fairforge-small",
    family="faces",
    params=FaceNetworkParams,
    paper="Kärkkäinen & Joo, FairFace, WACV 2021",
    licence=LICENCE,
)
def fairforge_small(params: FaceNetworkParams) -> FeatureNetwork:
    """The attribute network's trunk: maps at strides 4 to 32 of what tells perceived race, gender and age."""
    from generators.training.feature_networks import SCALES, FeatureNetwork

    model = models.attribute_model(params.model or "fairforge-small", "cpu")
    trunk = copy.deepcopy(model.network.trunk)
    return FeatureNetwork(
        "fairforge-small",
        trunk,
        lambda images: trunk.forward_intermediates(images, indices=SCALES, intermediates_only=True),
        model.weight.sha256,
    )


@FEATURE_NETWORKS.register(
    "fairforge-mesh148",
    family="faces",
    params=FaceNetworkParams,
    paper="Feng et al., Wing loss for robust facial landmark localisation, CVPR 2018",
    licence=LICENCE,
)
def fairforge_mesh148(params: FaceNetworkParams) -> FeatureNetwork:
    """The landmark network's trunk: maps at strides 4, 8 and 16 of where eyes, nose, mouth and jaw are."""
    from generators.training.feature_networks import FeatureNetwork

    model = models.landmarker(params.model or "fairforge-mesh148", "cpu")
    trunk = copy.deepcopy(model.network.trunk)

    def maps(images: Tensor) -> list[Tensor]:
        found = []
        for name, layer in trunk.items():
            images = layer(images)
            if name.startswith("layer"):
                found.append(images)
        return found

    return FeatureNetwork("fairforge-mesh148", trunk, maps, model.weight.sha256)
