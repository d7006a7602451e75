"""A detector whose verdict is weighed with those of others that were trained before: their logits are added.

What a network learns from a few hundred pictures of one source holds there; an earlier detector, which knows
other sources, stays as it is beside it, so that nothing of it is forgotten (side-tuning, Zhang et al., ECCV
2020). `detector.training.stacking` finds the weights on validation images.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from detector.models.architectures.base import ARCHITECTURES, Architecture, DetectorNetwork
from detector.models.architectures.single import SingleNetwork
from detector.models.network_config import BESIDE, DEFAULT, NetworkConfig


def seen_by(images: Tensor, own: NetworkConfig, other: NetworkConfig) -> Tensor:
    """Images in the units and at the size of another network's input.

    Args:
        images: float32 [N, 3, S, S], normalised by the mean and std of `own`.
        own: of the network that they were made for.
        other: of the network that is to see them.

    Returns:
        float32 [N, 3, T, T], T the other's input size: enlarged bicubically, reduced by means over areas.
    """
    if (own.mean, own.std) != (other.mean, other.std):
        mean, std, to_mean, to_std = (
            torch.tensor(v, dtype=images.dtype, device=images.device).view(1, 3, 1, 1)
            for v in (own.mean, own.std, other.mean, other.std)
        )
        images = (images * std + mean - to_mean) / to_std
    size = other.input_size
    if images.shape[-1] < size:
        return F.interpolate(images, (size, size), mode="bicubic", align_corners=False)
    return images if images.shape[-1] == size else F.interpolate(images, (size, size), mode="area")


class BesideNetwork(SingleNetwork):
    """The network `single`, and in evaluation mode its `fake` weighed with that of the others.

    `fake` [N] is `own_weight` x its own logit, plus for each of `config.beside` its weight x the other's
    logit at the other's temperature, plus `bias`; `alone` [N] is its own. All else is that of `single`, and
    so is the output in training mode.
    """

    def __init__(self, config: NetworkConfig) -> None:
        super().__init__(config)
        self.others = nn.ModuleList(
            ARCHITECTURES.create(other.config.architecture).build(other.config) for other in config.beside
        )

    def logits(self, images: Tensor) -> Tensor:
        """Of itself and of each other network, before they are weighed: float32 [N, 1 + others].

        Args:
            images: float32 [N, 3, S, S], normalised.
        """
        return self._beside(images, super().forward(images)["fake"])

    def _beside(self, images: Tensor, alone: Tensor) -> Tensor:
        found = [alone]
        for network, other in zip(self.others, self.config.beside, strict=True):
            seen = seen_by(images, self.config, other.config)
            found.append(network(seen)["fake"] / other.config.temperature)
        return torch.stack(found, 1)

    def forward(self, images: Tensor) -> dict[str, Tensor]:
        out = super().forward(images)
        if self.training:
            return out
        every = self._beside(images, out["fake"]).float()
        weights = [self.config.own_weight, *(other.weight for other in self.config.beside)]
        fake = (every * torch.tensor(weights, device=every.device)).sum(1) + self.config.bias
        return {**out, "fake": fake, "alone": out["fake"]}


@ARCHITECTURES.register(
    BESIDE, family="several networks", paper="Zhang et al., Side-Tuning, ECCV 2020, arXiv 1912.13503"
)
class Beside(Architecture):
    """`single`, its verdict weighed with those of detectors that stay as they are (`train.beside`)."""

    piecewise = True

    def build(self, config: NetworkConfig) -> DetectorNetwork:
        """See `Architecture.build`."""
        return BesideNetwork(config)


def own_part(config: NetworkConfig, state: dict[str, Tensor]) -> tuple[NetworkConfig, dict[str, Tensor]]:
    """The network that was trained, without those beside it; any other network as it is."""
    if config.architecture != BESIDE:
        return config, state
    alone = config.model_copy(
        update={"architecture": DEFAULT, "beside": (), "own_weight": 1.0, "bias": 0.0, "temperature": 1.0}
    )
    return alone, {name: value for name, value in state.items() if not name.startswith("others.")}
