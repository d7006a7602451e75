"""The small face networks: a timm trunk without its classifier, and heads.

Input: float32 [N, 3, S, S], RGB in [-1, 1], aligned to the template of `attribute_models.alignment`.
"""

from __future__ import annotations

from collections.abc import Mapping

import timm
import torch
from torch import Tensor, nn


class AttributeNetwork(nn.Module):
    """Trunk, global average pooling, dropout and one linear head per attribute.

    heads: name -> number of classes. `forward` returns name -> float32 logits [N, classes].
    """

    def __init__(self, trunk: str, heads: Mapping[str, int], dropout: float = 0.2) -> None:
        super().__init__()
        self.trunk = timm.create_model(trunk, pretrained=False, num_classes=0)
        width = self.trunk.num_features
        self.dropout = nn.Dropout(dropout)
        self.heads = nn.ModuleDict({name: nn.Linear(width, classes) for name, classes in heads.items()})

    def forward(self, images: Tensor) -> dict[str, Tensor]:
        features = self.dropout(self.trunk(images))
        return {name: head(features) for name, head in self.heads.items()}


class LandmarkNetwork(nn.Module):
    """Trunk with its spatial map kept, squeezed and flattened, and one linear layer to the points.

    `forward` returns float32 [N, points, 2] in units of the crop's side (0 to 1, pixel edges).
    `mean_shape`: float32 [points, 2], the network predicts offsets from it.
    """

    def __init__(self, trunk: str, points: int, size: int, squeeze: int = 64) -> None:
        super().__init__()
        self.trunk = timm.create_model(trunk, pretrained=False, num_classes=0, global_pool="", features_only=False)
        with torch.no_grad():
            _, channels, height, width = self.trunk.eval().forward_features(torch.zeros(1, 3, size, size)).shape
        self.squeeze = nn.Sequential(nn.Conv2d(channels, squeeze, 1, bias=False), nn.BatchNorm2d(squeeze), nn.ReLU())
        self.points = nn.Linear(squeeze * height * width, points * 2)
        self.mean_shape = nn.Buffer(torch.full((points, 2), 0.5))

    def forward(self, images: Tensor) -> Tensor:
        offsets = self.points(self.squeeze(self.trunk.forward_features(images)).flatten(1))
        return self.mean_shape + 0.1 * offsets.view(len(images), -1, 2)
