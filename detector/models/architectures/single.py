"""The multi-task detector: one trunk, a real/fake logit, heads for perceived groups and the forgery, a mask
decoder.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from detector.models.architectures.base import ARCHITECTURES, Architecture, DetectorNetwork
from detector.models.backbones import TrunkParams, build_backbone
from detector.models.feature_maps import stage_names, stage_shapes, with_stages
from detector.models.head_names import DEMOGRAPHIC
from detector.models.heads import build_head, head_input, reversal_ramp
from detector.models.mask_decoder import STAGES, MaskDecoder
from detector.models.network_config import NetworkConfig
from detector.models.residual import residual


class SingleNetwork(DetectorNetwork):
    """Trunk and heads. `forward`: float32 [N, 3, S, S] normalised by mean and std, to logits by name.

    Output: `fake` [N] (above 0 means fake), one [N, classes] per head, `features` [N, F], with a decoder
    `mask` [N, h, w]; in training mode `layers.0`, ... the outputs of the trunk's last `layers` stages, the
    deepest last. progress: share of the training that is done, in [0, 1]; the reversed gradient rises with
    it.
    """

    trunk: Any

    def __init__(self, config: NetworkConfig) -> None:
        super().__init__(config)
        channels = 6 if config.residual_input else 3
        self.trunk = build_backbone(
            config.backbone,
            TrunkParams(
                in_channels=channels,
                stem_stride=config.stem_stride,
                dropout=config.dropout,
            ),
        )
        width = int(self.trunk.num_features)
        self.fake = build_head(width, 1, config.cosine.get("fake"))
        self.heads = nn.ModuleDict(
            {
                name: build_head(width, len(classes), config.cosine.get(name))
                for name, classes in config.heads.items()
            }
        )
        self.stages = stage_names(
            self.trunk, config.backbone, max(config.layers, STAGES if config.mask_decoder else 0)
        )
        self.decoder: MaskDecoder | None = None
        if config.mask_decoder:
            shapes = stage_shapes(self.trunk, self.stages[-STAGES:], channels, config.input_size)
            self.decoder = MaskDecoder(shapes, config.backbone)

    @property
    def encoders(self) -> tuple[nn.Module, ...]:
        """Every trunk that may start from pretrained weights."""
        return (self.trunk,)

    @property
    def seen(self) -> nn.Module:
        """The trunk."""
        return self.trunk

    def _seen_by(self, head: str, features: Tensor) -> Tensor:
        if head not in DEMOGRAPHIC:
            return features
        return head_input(
            features, self.config.head_mode, self.config.reversal * reversal_ramp(self.progress)
        )

    def forward(self, images: Tensor) -> dict[str, Tensor]:
        if self.config.residual_input:
            images = torch.cat([images, residual(images, self.config.residual_norm)], 1)
        wanted = self.stages if self.training or self.decoder is not None else []
        features, maps = with_stages(self.trunk, wanted, images)
        if self.config.l2_features:
            features = F.normalize(features.float(), dim=1)
        out = {name: head(self._seen_by(name, features)) for name, head in self.heads.items()}
        out |= {"fake": self.fake(features)[:, 0], "features": features}
        if self.decoder is not None:
            out["mask"] = self.decoder(maps[-STAGES:])
        if self.training and self.config.layers:
            out |= {f"layers.{k}": value for k, value in enumerate(maps[-self.config.layers :])}
        return out


@ARCHITECTURES.register("single", family="one trunk")
class Single(Architecture):
    """One trunk with a head for real/fake and one for each group that the settings name."""

    piecewise = True

    def build(self, config: NetworkConfig) -> DetectorNetwork:
        """See `Architecture.build`."""
        return SingleNetwork(config)
