"""A detector's network by its configuration, its input, and its logits: what every use of one shares."""

from __future__ import annotations

import torch
from torch import Tensor

from detector.models.architectures import ARCHITECTURES, DetectorNetwork
from detector.models.network_config import NetworkConfig

__all__ = ["DetectorNetwork", "build_network", "create_network", "mirrored_logits", "normalise"]


def create_network(config: NetworkConfig) -> DetectorNetwork:
    """The network of a configuration, with weights drawn from torch's generator.

    Raises:
        UsageError: unknown architecture or backbone, or one without the stages or maps that the configuration
            asks for.
    """
    return ARCHITECTURES.create(config.architecture).build(config)


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
