"""The autoencoder: a picture through a bottleneck of an eighth of its side and back, as the decoders of
face-swap networks draw.

The first channels of the bottleneck carry the most: while it is trained, all behind a drawn number are
silenced (nested dropout; Rippel et al., "Learning ordered representations with nested dropout", ICML 2014).
So one network has many qualities.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from pydantic import BaseModel, ConfigDict, Field
from torch import Tensor, nn

FACTOR = 8
"""By how much the bottleneck is smaller than the picture."""


class AutoencoderConfig(BaseModel):
    """The constructor's arguments. widths: channels at the side, half, a quarter and an eighth of it. latent:
    of the bottleneck.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    widths: tuple[int, int, int, int] = (16, 32, 64, 96)
    latent: int = Field(32, ge=1, le=1024)


def _convolution(inner: int, outer: int, stride: int = 1) -> nn.Sequential:
    return nn.Sequential(nn.Conv2d(inner, outer, 3, stride, 1), nn.LeakyReLU(0.2))


class Autoencoder(nn.Module):
    """Pictures in, pictures out: float32 [N, 3, H, W] in [-1, 1], RGB; H and W are multiples of `FACTOR`."""

    def __init__(self, config: AutoencoderConfig | None = None) -> None:
        super().__init__()
        self.config = config = config or AutoencoderConfig()
        full, half, quarter, eighth = config.widths
        self.encoder = nn.Sequential(
            _convolution(3, full),
            _convolution(full, half, 2),
            _convolution(half, quarter, 2),
            _convolution(quarter, eighth, 2),
            _convolution(eighth, eighth),
            nn.Conv2d(eighth, config.latent, 1),
        )
        self.start = nn.Sequential(
            nn.Conv2d(config.latent, eighth, 1), _convolution(eighth, eighth), _convolution(eighth, eighth)
        )
        self.growing = nn.ModuleList(
            [_convolution(eighth, quarter), _convolution(quarter, half), _convolution(half, full)]
        )
        self.last = nn.Conv2d(full, 3, 3, 1, 1)

    def forward(self, images: Tensor, kept: Tensor | None = None) -> Tensor:
        """The pictures as the decoder draws them.

        Args:
            images: float32 [N, 3, H, W] in [-1, 1].
            kept: int64 [N], how many channels of the bottleneck each picture has; None: all.
        """
        latent = self.encoder(images)
        if kept is not None:
            numbers = torch.arange(latent.shape[1], device=latent.device)
            latent = latent * (numbers[None, :] < kept[:, None])[..., None, None]
        x = self.start(latent)
        for layer in self.growing:
            x = layer(F.interpolate(x, scale_factor=2.0, mode="nearest"))
        return self.last(x)
