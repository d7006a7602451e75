"""Where an image was changed: a decoder on the trunk's last stages."""

from __future__ import annotations

from collections.abc import Sequence

import torch.nn.functional as F
from torch import Tensor, nn

from manifests.errors import UsageError

STAGES = 3


class MaskDecoder(nn.Module):
    """Feature pyramid (Lin et al., CVPR 2017) over the last stages: logits of the forgery mask, float [N, h,
    w].

    h, w: of the shallowest of the stages. shapes: of the stages' outputs, [1, C, H, W] each, the deepest
    last.
    """

    def __init__(self, shapes: Sequence[tuple[int, ...]], backbone: str, width: int = 32) -> None:
        super().__init__()
        if any(len(shape) != 4 for shape in shapes):
            raise UsageError(
                f"backbone {backbone!r}",
                "has no feature maps, which mask_decoder needs",
                "take a convolutional backbone",
            )
        self.lateral = nn.ModuleList(nn.Conv2d(shape[1], width, 1) for shape in shapes)
        self.smooth = nn.Sequential(nn.Conv2d(width, width, 3, padding=1), nn.ReLU(), nn.Conv2d(width, 1, 1))

    def forward(self, maps: Sequence[Tensor]) -> Tensor:
        total = self.lateral[-1](maps[-1])
        for layer, features in zip(reversed(self.lateral[:-1]), reversed(maps[:-1]), strict=True):
            total = layer(features) + F.interpolate(total, features.shape[2:], mode="nearest")
        return self.smooth(total)[:, 0]
