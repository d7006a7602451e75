"""The multi-task detector: one trunk, a real/fake logit, heads for perceived groups and the forgery, a mask decoder."""

from __future__ import annotations

from typing import Annotated, Any, Literal

import torch
import torch.nn.functional as F
from pydantic import BaseModel, ConfigDict, Field
from torch import Tensor, nn

from detector.models.backbones import TrunkParams, build_backbone
from detector.models.feature_maps import stage_names, stage_shapes, with_stages
from detector.models.heads import build_head, head_input, reversal_ramp
from detector.models.mask_decoder import STAGES, MaskDecoder
from detector.training.settings import DEMOGRAPHIC

KIND = "detector"
LARGEST_INPUT = 2048
"""Pixels of a side: an image is scaled to the size that a checkpoint's header says."""
Deviation = Annotated[float, Field(gt=0)]


class NetworkConfig(BaseModel):
    """What builds the network again: it travels in the checkpoint's header.

    heads: class names per head, in the order of its logits. mean, std: of RGB in [0, 1].
    mirror: predictions are means over an image and its mirror image (of logits).
    architecture: this network, or that of `detector.models.pg_network`. cosine: scale of heads that are cosine classifiers.
    temperature: what the fake logit is divided by in predictions (Guo et al., ICML 2017); 1 where none was fitted.
    head_mode, reversal, mask_decoder, l2_features: see `TrainSettings`. layers: so many last stages are put out in training.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    kind: str = KIND
    backbone: str
    input_size: int = Field(ge=1, le=LARGEST_INPUT)
    stem_stride: int | None = None
    residual_input: bool = False
    residual_norm: bool = False
    dropout: float = 0.0
    mirror: bool = False
    heads: dict[str, tuple[str, ...]] = {}
    mean: tuple[float, float, float] = (0.5, 0.5, 0.5)
    std: tuple[Deviation, Deviation, Deviation] = (0.5, 0.5, 0.5)
    architecture: Literal["single", "pg-fdd"] = "single"
    cosine: dict[str, float] = {}
    head_mode: Literal["shared", "reversed", "detached"] = "shared"
    reversal: float = 1.0
    mask_decoder: bool = False
    layers: int = 0
    l2_features: bool = False
    temperature: float = Field(1.0, gt=0, allow_inf_nan=False)


RESIDUAL_FLOOR = 0.02
"""Added to the deviation that a residual is divided by: a flat picture's is not blown up to noise."""


def residual(images: Tensor, normalised: bool = False) -> Tensor:
    """Fixed high-pass: each channel less the mean of its 3 x 3 binomial neighbourhood, times 4.

    normalised: divided by its standard deviation over the picture, so that a sharp picture and a smooth one weigh alike.

    Blending and resampling leave their traces in such residuals (Fridrich & Kodovsky, IEEE TIFS 2012, use richer
    sets of them). images: float [N, 3, H, W]; the same shape comes back.
    """
    line = torch.tensor([0.25, 0.5, 0.25], dtype=images.dtype, device=images.device)
    kernel = torch.outer(line, line).expand(images.shape[1], 1, 3, 3)
    smooth = F.conv2d(F.pad(images, (1, 1, 1, 1), mode="reflect"), kernel, groups=images.shape[1])
    found = 4 * (images - smooth)
    if not normalised:
        return found
    centred = found - found.mean((1, 2, 3), keepdim=True)
    return found / (centred.square().mean((1, 2, 3), keepdim=True).sqrt() + RESIDUAL_FLOOR)


class DetectorNetwork(nn.Module):
    """Trunk and heads. `forward`: float32 [N, 3, S, S] normalised by mean and std, to logits by name.

    Output: `fake` [N] (above 0 means fake), one [N, classes] per head, `features` [N, F], with a decoder `mask` [N, h, w];
    in training mode `layers.0`, ... the outputs of the trunk's last `layers` stages, the deepest last.
    progress: share of the training that is done, in [0, 1]; the reversed gradient rises with it.
    """

    def __init__(self, config: NetworkConfig) -> None:
        super().__init__()
        self.config, self.progress = config, 1.0
        channels = 6 if config.residual_input else 3
        self.trunk = build_backbone(config.backbone, TrunkParams(
            in_channels=channels, stem_stride=config.stem_stride, dropout=config.dropout,
        ))
        width = int(self.trunk.num_features)
        self.fake = build_head(width, 1, config.cosine.get("fake"))
        self.heads = nn.ModuleDict(
            {name: build_head(width, len(classes), config.cosine.get(name)) for name, classes in config.heads.items()}
        )
        self.stages = stage_names(self.trunk, config.backbone, max(config.layers, STAGES if config.mask_decoder else 0))
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
        return head_input(features, self.config.head_mode, self.config.reversal * reversal_ramp(self.progress))

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
            out |= {f"layers.{k}": value for k, value in enumerate(maps[-self.config.layers:])}
        return out


def create_network(config: NetworkConfig) -> DetectorNetwork:
    """The network of a configuration, with weights drawn from torch's generator.

    Raises:
        UsageError: unknown backbone, or one without the stages or maps that the configuration asks for.
    """
    if config.architecture == "single":
        return DetectorNetwork(config)
    from detector.models.pg_network import PgFddNetwork

    return PgFddNetwork(config)  # type: ignore[return-value] - the same attributes and outputs


def mirrored_logits(network: DetectorNetwork, images: Tensor) -> dict[str, Tensor]:
    """The network's logits without features, as mean over the images and their mirror images where its config says so.

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


def config_from(header: dict[str, Any]) -> NetworkConfig:
    """The network's configuration out of a checkpoint's header (other keys are left aside)."""
    return NetworkConfig.model_validate({k: v for k, v in header.items() if k in NetworkConfig.model_fields})
