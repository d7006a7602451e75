"""The multi-task detector: one trunk, a real/fake logit, heads for perceived groups and the forgery, a mask
decoder.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from detector.models.backbones import TrunkParams, build_backbone
from detector.models.feature_maps import stage_names, stage_shapes, with_stages
from detector.models.head_names import DEMOGRAPHIC
from detector.models.heads import build_head, head_input, reversal_ramp
from detector.models.mask_decoder import STAGES, MaskDecoder
from detector.models.network_config import NetworkConfig
from detector.models.pg_network import PgFddNetwork
from detector.models.residual import residual


class DetectorNetwork(nn.Module):
    """Trunk and heads. `forward`: float32 [N, 3, S, S] normalised by mean and std, to logits by name.

    Output: `fake` [N] (above 0 means fake), one [N, classes] per head, `features` [N, F], with a decoder
    `mask` [N, h, w]; in training mode `layers.0`, ... the outputs of the trunk's last `layers` stages, the
    deepest last. progress: share of the training that is done, in [0, 1]; the reversed gradient rises with
    it.
    """

    def __init__(self, config: NetworkConfig) -> None:
        super().__init__()
        self.config, self.progress = config, 1.0
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


def create_network(config: NetworkConfig) -> DetectorNetwork:
    """The network of a configuration, with weights drawn from torch's generator.

    Raises:
        UsageError: unknown backbone, or one without the stages or maps that the configuration asks for.
    """
    if config.architecture == "single":
        return DetectorNetwork(config)
    return PgFddNetwork(config)  # type: ignore[return-value] - the same attributes and outputs


def mirrored_logits(network: DetectorNetwork, images: Tensor) -> dict[str, Tensor]:
    """The network's logits without features, as mean over the images and their mirror images where its config
    says so.

    That of `fake` is divided by the config's temperature: every road to a probability passes here.
    """
    names = ["fake", *network.heads]
    out = network(images)
    logits = {name: out[name].float() for name in names}
    if network.config.mirror:
        other = network(images.flip(3).contiguous(memory_format=torch.channels_last))
        logits = {name: (logits[name] + other[name].float()) / 2 for name in names}
    return {**logits, "fake": logits["fake"] / network.config.temperature}


def normalise(images: Tensor, config: NetworkConfig) -> Tensor:
    """uint8 [N, H, W, 3] RGB to the network's input, float32 [N, 3, H, W], channels last in memory."""
    mean, std = (torch.tensor(v, device=images.device).view(1, 3, 1, 1) for v in (config.mean, config.std))
    scaled = images.permute(0, 3, 1, 2).to(torch.float32) / 255
    return ((scaled - mean) / std).contiguous(memory_format=torch.channels_last)


def build_network(config: NetworkConfig, seed: int) -> DetectorNetwork:
    """A network with random weights that depend on `seed` alone; the global generator is left as it was.

    Raises:
        UsageError: unknown backbone.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        network = create_network(config)
    return network.to(memory_format=torch.channels_last)
