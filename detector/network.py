"""The multi-task detector: one trunk, a real/fake logit, and heads for perceived race and gender."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from pydantic import BaseModel, ConfigDict
from torch import Tensor, nn

from detector.backbones import TrunkParams, build_backbone

KIND = "detector"


class NetworkConfig(BaseModel):
    """What builds the network again: it travels in the checkpoint's header.

    heads: class names per demographic head, in the order of its logits. mean, std: of RGB in [0, 1].
    mirror: predictions are means over an image and its mirror image (of logits).
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    kind: str = KIND
    backbone: str
    input_size: int
    stem_stride: int | None = None
    residual_input: bool = False
    dropout: float = 0.0
    mirror: bool = False
    heads: dict[str, tuple[str, ...]] = {}
    mean: tuple[float, float, float] = (0.5, 0.5, 0.5)
    std: tuple[float, float, float] = (0.5, 0.5, 0.5)


def residual(images: Tensor) -> Tensor:
    """Fixed high-pass: each channel less the mean of its 3 x 3 binomial neighbourhood, times 4.

    Blending and resampling leave their traces in such residuals (Fridrich & Kodovsky, IEEE TIFS 2012, use richer
    sets of them). images: float [N, 3, H, W]; the same shape comes back.
    """
    line = torch.tensor([0.25, 0.5, 0.25], dtype=images.dtype, device=images.device)
    kernel = torch.outer(line, line).expand(images.shape[1], 1, 3, 3)
    smooth = F.conv2d(F.pad(images, (1, 1, 1, 1), mode="reflect"), kernel, groups=images.shape[1])
    return 4 * (images - smooth)


class DetectorNetwork(nn.Module):
    """Trunk and heads. `forward`: float32 [N, 3, S, S] normalised by mean and std, to logits by name.

    Output: `fake` [N] (above 0 means fake), one [N, classes] per demographic head, `features` [N, F].
    """

    def __init__(self, config: NetworkConfig) -> None:
        super().__init__()
        self.config = config
        self.trunk = build_backbone(config.backbone, TrunkParams(
            in_channels=6 if config.residual_input else 3, stem_stride=config.stem_stride, dropout=config.dropout,
        ))
        width = int(self.trunk.num_features)
        self.fake = nn.Linear(width, 1)
        self.heads = nn.ModuleDict({name: nn.Linear(width, len(classes)) for name, classes in config.heads.items()})

    def forward(self, images: Tensor) -> dict[str, Tensor]:
        if self.config.residual_input:
            images = torch.cat([images, residual(images)], 1)
        features = self.trunk(images)
        out = {name: head(features) for name, head in self.heads.items()}
        return {"fake": self.fake(features)[:, 0], "features": features, **out}


def mirrored_logits(network: DetectorNetwork, images: Tensor) -> dict[str, Tensor]:
    """The network's logits without features, as mean over the images and their mirror images where its config says so."""
    names = ["fake", *network.heads]
    out = network(images)
    if not network.config.mirror:
        return {name: out[name].float() for name in names}
    other = network(images.flip(3).contiguous(memory_format=torch.channels_last))
    return {name: (out[name].float() + other[name].float()) / 2 for name in names}


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
        network = DetectorNetwork(config)
    return network.to(memory_format=torch.channels_last)


def config_from(header: dict[str, Any]) -> NetworkConfig:
    """The network's configuration out of a checkpoint's header (other keys are left aside)."""
    return NetworkConfig.model_validate({k: v for k, v in header.items() if k in NetworkConfig.model_fields})
