"""The network of PG-FDD: three encoders take an image apart into content, forgery and face; forgery meets
face again.

Lin et al., "Preserving fairness generalization in deepfake detection" (CVPR 2024, arXiv 2402.17229), sec. 3.
[recon]: widths, the shape of the decoder, and how it gets its style are ours.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from detector.models.architectures.base import ARCHITECTURES, Architecture, DetectorNetwork
from detector.models.backbones import TrunkParams, build_backbone
from detector.models.feature_maps import channels_first
from detector.models.heads import build_head
from detector.models.network_config import NetworkConfig
from detector.models.residual import residual
from manifests.errors import UsageError

if TYPE_CHECKING:
    from detector.losses.base import Targets

WIDTH = 128


def adain(content: Tensor, style: Tensor, epsilon: float = 1e-5) -> Tensor:
    """Content with the style's mean and deviation per channel (Huang & Belongie, ICCV 2017, eq. 8). [N, C, H,
    W].
    """

    def moments(x: Tensor) -> tuple[Tensor, Tensor]:
        return x.mean((2, 3), keepdim=True), (x.var((2, 3), keepdim=True, correction=0) + epsilon).sqrt()

    (mean, deviation), (to_mean, to_deviation) = moments(content.float()), moments(style.float())
    return to_deviation * (content.float() - mean) / deviation + to_mean


def _block(inputs: int, outputs: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, 3, padding=1, bias=False), nn.BatchNorm2d(outputs), nn.ReLU()
    )


class Decoder(nn.Module):
    """Content map and style map to an image: AdaIN, then doublings with a convolution each. [N, 3, size,
    size].
    """

    def __init__(self, side: int, size: int) -> None:
        super().__init__()
        self.size, width = size, WIDTH
        blocks: list[nn.Module] = [_block(width, width)]
        while 2 * side <= size:
            blocks += [nn.Upsample(scale_factor=2, mode="nearest"), _block(width, max(width // 2, 16))]
            side, width = 2 * side, max(width // 2, 16)
        self.blocks = nn.Sequential(*blocks, nn.Conv2d(width, 3, 3, padding=1))

    def forward(self, content: Tensor, style: Tensor) -> Tensor:
        image = self.blocks(adain(content, style)).float()
        return (
            image
            if image.shape[-1] == self.size
            else F.interpolate(image, (self.size, self.size), mode="bilinear")
        )


def partners(fake: Tensor, pairs: Tensor) -> Tensor:
    """For each row a row of the other label in the same pair, the first there is, else itself: int64 [N]."""
    other = (pairs[:, None] == pairs) & (pairs >= 0)[:, None] & (fake[:, None] != fake)
    own = torch.arange(len(fake), device=fake.device)
    return torch.where(other.any(1), other.int().argmax(1), own)


class PgFddNetwork(DetectorNetwork):
    """Encoders of content, forgery and face; the forgery's agnostic part under the face's statistics tells
    real/fake.

    Output: `fake` [N] of the fused features, `fake_agnostic` [N], `family` and the demographic heads [N,
    classes], `features`, `agnostic`, `specific` [N, 128]; in training mode `reconstruction` and
    `cross_reconstruction` [N, 3, S, S] in the units of the input.
    """

    def __init__(self, config: NetworkConfig) -> None:
        super().__init__(config)
        channels = 6 if config.residual_input else 3
        params = TrunkParams(in_channels=channels, stem_stride=config.stem_stride, dropout=config.dropout)
        self.content, self.forgery, self.face = (build_backbone(config.backbone, params) for _ in range(3))
        inputs, side = self._map_shape(channels)
        self.to_content, self.to_agnostic, self.to_specific, self.to_face = (
            _block(inputs, WIDTH) for _ in range(4)
        )
        self.to_fused = _block(WIDTH, WIDTH)
        self.to_style = nn.Conv2d(3 * WIDTH, WIDTH, 1)
        self.decoder = Decoder(side, config.input_size)
        self.dropout = nn.Dropout(config.dropout)
        self.fake, self.fake_agnostic = (build_head(WIDTH, 1, config.cosine.get("fake")) for _ in range(2))
        self.heads = nn.ModuleDict(
            {
                name: build_head(WIDTH, len(classes), config.cosine.get(name))
                for name, classes in config.heads.items()
            }
        )

    @property
    def seen(self) -> nn.Module:
        """The encoder that looks for the forgery."""
        return self.forgery

    @property
    def encoders(self) -> tuple[nn.Module, ...]:
        """Every trunk that may start from pretrained weights."""
        return self.content, self.forgery, self.face

    @torch.no_grad()
    def _map_shape(self, channels: int) -> tuple[int, int]:
        """Channels and side of the encoders' maps."""
        size = self.config.input_size
        shape = self._encode(self.forgery.eval(), torch.zeros(1, channels, size, size)).shape
        self.forgery.train()
        if len(shape) != 4 or shape[-1] < 2:
            raise UsageError(
                f"backbone {self.config.backbone!r} at input_size {size}",
                f"gives maps of {list(shape[1:])}; PG-FDD needs 2 x 2 or more, to have statistics per"
                " channel",
                "take a larger input_size, a smaller stem_stride, or a convolutional backbone",
            )
        return int(shape[1]), int(shape[-1])

    @staticmethod
    def _encode(trunk: Any, images: Tensor) -> Tensor:
        return channels_first(trunk, trunk.forward_features(images))

    def _decoded(self, images: Tensor, parts: list[Tensor], partners: Tensor | None) -> dict[str, Tensor]:
        content = self.to_content(self._encode(self.content, images))
        style = self.to_style(torch.cat(parts, 1))
        own = self.decoder(content, style)
        crossed = own if partners is None else self.decoder(content, style[partners])
        return {"reconstruction": own, "cross_reconstruction": crossed}

    def forward(self, images: Tensor, partners: Tensor | None = None) -> dict[str, Tensor]:
        if self.config.residual_input:
            images = torch.cat([images, residual(images, self.config.residual_norm)], 1)
        forged = self._encode(self.forgery, images)
        agnostic, specific = self.to_agnostic(forged), self.to_specific(forged)
        face = self.to_face(self._encode(self.face, images))
        fused = self.to_fused(
            adain(agnostic, face)
        )  # without it the mean over places would be the face's alone
        fused, a, s, f = (self.dropout(x.mean((2, 3))) for x in (fused, agnostic, specific, face))
        out = {name: head(s if name == "family" else f) for name, head in self.heads.items()}
        out |= {"fake": self.fake(fused)[:, 0], "fake_agnostic": self.fake_agnostic(a)[:, 0]}
        out |= {"features": fused, "agnostic": a, "specific": s}
        return out | self._decoded(images, [agnostic, specific, face], partners) if self.training else out


@ARCHITECTURES.register(
    "pg-fdd", family="disentangled", paper="Lin et al., CVPR 2024, arXiv 2402.17229", licence="Apache-2.0"
)
class PgFdd(Architecture):
    """Three encoders for content, forgery and face, which takes each image with the other half of its
    pair.
    """

    loss = "pg-fdd"
    pieces = False
    normalises = False
    head_modes = ("shared",)

    def build(self, config: NetworkConfig) -> DetectorNetwork:
        """See `Architecture.build`; the backbone must give maps of 2 x 2 or more."""
        return PgFddNetwork(config)

    def inputs(self, targets: Targets) -> tuple[Tensor, ...]:
        """The images, and int64 [N]: the partner of each row."""
        assert targets.images is not None
        assert targets.pairs is not None
        return targets.images, partners(targets.fake, targets.pairs)
