"""Frozen networks whose feature maps a discriminator sees: what one has to offer, and the maps' sizes."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from manifests.errors import UsageError

SCALES = 4
"""Feature maps of a network, from fine to coarse: strides 4, 8, 16 and 32 of the networks in use."""


class FeatureNetwork(nn.Module):
    """A pretrained network that gives feature maps and never learns.

    Its weights take no gradients, its batch normalisation keeps its statistics; gradients pass through it to
    the images.

    Args:
        name: as the user names it.
        network: the network, whose parameters are frozen here.
        maps: float32 [N, 3, S, S] as the network wants them -> its feature maps, from fine to coarse.
        digest: of the network's weights: part of a training's key.
        side: pixels of a side that images are brought to (bilinear); None leaves them as they are.
        mean: of the network's input, in the units of images in [-1, 1].
        std: likewise.
    """

    def __init__(
        self,
        name: str,
        network: nn.Module,
        maps: Callable[[Tensor], Sequence[Tensor]],
        digest: str,
        *,
        side: int | None = None,
        mean: Sequence[float] = (0.0, 0.0, 0.0),
        std: Sequence[float] = (1.0, 1.0, 1.0),
    ) -> None:
        super().__init__()
        self.name, self.digest, self.side = name, digest, side
        self.network = network.eval().requires_grad_(False)
        self._maps = maps
        self.register_buffer("mean", torch.tensor(list(mean)).view(1, 3, 1, 1), persistent=False)
        self.register_buffer("std", torch.tensor(list(std)).view(1, 3, 1, 1), persistent=False)

    def train(self, mode: bool = True) -> FeatureNetwork:
        """Stays as it is when modules around it are set to train: its statistics are frozen."""
        return super().train(False)

    def forward(self, images: Tensor) -> list[Tensor]:
        """Feature maps of images.

        Args:
            images: float32 [N, 3, H, H] in [-1, 1], RGB.

        Returns:
            float32 [N, C_i, H_i, H_i] each, from fine to coarse.
        """
        if self.side is not None and images.shape[-1] != self.side:
            images = F.interpolate(
                images, size=(self.side, self.side), mode="bilinear", antialias=True, align_corners=False
            )
        mean, std = self.get_buffer("mean"), self.get_buffer("std")
        return [maps.float() for maps in self._maps((images - mean) / std)]

    def shapes(self, resolution: int) -> list[tuple[int, int]]:
        """(channels, side) of each map of images of this resolution.

        Args:
            resolution: pixels of a side.

        Raises:
            UsageError: images so small that a map has no pixel, or a network without maps.
        """
        try:
            with torch.no_grad():
                found = self(torch.zeros(1, 3, resolution, resolution, device=self.get_buffer("mean").device))
        except RuntimeError as error:
            why = f"cannot see images of {resolution} px: {error}"
            raise UsageError(f"feature network {self.name!r}", why, "choose a larger resolution") from error
        if not found:
            raise UsageError(f"feature network {self.name!r}", "gives no feature maps", "choose another")
        return [(maps.shape[1], maps.shape[-1]) for maps in found]
