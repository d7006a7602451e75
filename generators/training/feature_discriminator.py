"""Discriminators on frozen feature maps: random mixing of channels and scales, a small head per scale.

Projected GANs (Sauer et al., NeurIPS 2021, arXiv 2111.01007): every map is mixed across channels by a fixed
random 1x1 convolution, then across scales from coarse to fine by fixed random 3x3 convolutions, and a small
discriminator with spectral normalisation judges each result by patches. With classes, each head adds the
inner product of its pooled features with a learnt vector of the class (Miyato & Koyama, arXiv 1802.05637).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils.parametrizations import spectral_norm

from generators.training.feature_networks import FeatureNetwork
from manifests.seeding import seed_of

SLOPE = 0.2
PATCHES = 4
"""Pixels of a side of a head's map of logits, at most."""


def _seeded(module: nn.Module, seed: int) -> nn.Module:
    """Kaiming-normal weights and zero biases drawn from a seed alone."""
    rng = torch.Generator().manual_seed(seed)
    for layer in module.modules():
        if isinstance(layer, nn.Conv2d | nn.Linear):
            fan = layer.weight[0].numel()
            with torch.no_grad():
                layer.weight.copy_(torch.randn(layer.weight.shape, generator=rng) * (2 / fan) ** 0.5)
                if layer.bias is not None:
                    layer.bias.zero_()
    return module


class RandomProjection(nn.Module):
    """Fixed random mixing of a network's maps across channels and scales.

    Args:
        channels: of each map, from fine to coarse.
        width: channels of the finest mixed map; each coarser one has twice as many, up to four times.
        seed: of the fixed weights.
    """

    def __init__(self, channels: Sequence[int], width: int, seed: int) -> None:
        super().__init__()
        self.widths = [width * min(2**scale, 4) for scale in range(len(channels))]
        self.across_channels = nn.ModuleList(
            _seeded(nn.Conv2d(c, w, 1), seed_of(seed, "channels", k))
            for k, (c, w) in enumerate(zip(channels, self.widths, strict=True))
        )
        coarser = [*self.widths[1:], self.widths[-1]]
        self.across_scales = nn.ModuleList(
            _seeded(nn.Conv2d(above, own, 3, padding=1), seed_of(seed, "scales", k))
            for k, (above, own) in enumerate(zip(coarser, self.widths, strict=True))
        )
        self.requires_grad_(False)

    def forward(self, maps: Sequence[Tensor]) -> list[Tensor]:
        """Mixed maps, float32, each of the size of its own; from fine to coarse."""
        mixed = [mix(m) for mix, m in zip(self.across_channels, maps, strict=True)]
        out: list[Tensor] = []
        for scale in reversed(range(len(mixed))):
            if not out:
                out.append(mixed[scale])
                continue
            above = F.interpolate(out[-1], size=mixed[scale].shape[-2:], mode="bilinear", align_corners=False)
            out.append((mixed[scale] + self.across_scales[scale](above)) / 2**0.5)
        return out[::-1]


class PatchHead(nn.Module):
    """A small convolutional discriminator of one map, spectrally normalised: logits by patches.

    Args:
        channels: of the map.
        side: of the map, in pixels; it is halved until at most `PATCHES`.
        width: channels inside.
        c_dim: classes; 0 without.
        seed: of the first weights.
    """

    def __init__(self, channels: int, side: int, width: int, c_dim: int, seed: int) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        have = channels
        while side > PATCHES:
            layers += [nn.Conv2d(have, width, 4, stride=2, padding=1), nn.LeakyReLU(SLOPE)]
            have, side = width, side // 2
        layers += [nn.Conv2d(have, width, 3, padding=1), nn.LeakyReLU(SLOPE)]
        self.body = _seeded(nn.Sequential(*layers), seed_of(seed, "body"))
        self.out = _seeded(nn.Conv2d(width, 1, 1), seed_of(seed, "out"))
        self.classes = (
            _seeded(nn.Linear(c_dim, width, bias=False), seed_of(seed, "classes")) if c_dim else None
        )
        for layer in self.modules():
            if isinstance(layer, nn.Conv2d | nn.Linear):
                _spectral(layer, seed_of(seed, "iteration"))

    def forward(self, maps: Tensor, c: Tensor | None) -> Tensor:
        """float32 [N, patches]: high for real.

        Args:
            maps: float32 [N, channels, side, side].
            c: float32 [N, c_dim] one-hot; None without classes.
        """
        found = self.body(maps)
        logits = self.out(found).flatten(1)
        if self.classes is None or c is None:
            return logits
        return logits + (self.classes(c) * found.mean(dim=(2, 3))).sum(dim=1, keepdim=True)


def _spectral(layer: nn.Module, seed: int) -> None:
    """Spectral normalisation whose power iteration begins from a seed, not from torch's global one."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed % 2**63)
        spectral_norm(layer)


class FeatureDiscriminator(nn.Module):
    """Heads on the mixed maps of frozen networks. The networks are not its parameters and not in its state.

    Args:
        networks: name -> frozen network.
        resolution: of the images, pixels of a side.
        c_dim: classes; 0 without.
        width: channels of the finest mixed map, and inside the heads.
        seed: of all weights.

    Raises:
        UsageError: a network that cannot see images of this resolution.
    """

    def __init__(
        self, networks: Mapping[str, FeatureNetwork], resolution: int, c_dim: int, width: int, seed: int
    ) -> None:
        super().__init__()
        self._networks = dict(networks)
        self.projections, self.heads = nn.ModuleDict(), nn.ModuleDict()
        for name, network in self._networks.items():
            shapes = network.shapes(resolution)
            own = seed_of(seed, name)
            mixing = RandomProjection([channels for channels, _ in shapes], width, own)
            key = name.replace(".", "_")
            self.projections[key] = mixing
            self.heads[key] = nn.ModuleList(
                PatchHead(channels, side, width, c_dim, seed_of(own, "head", scale))
                for scale, (channels, (_, side)) in enumerate(zip(mixing.widths, shapes, strict=True))
            )

    def learnt(self) -> list[nn.Parameter]:
        """The heads' parameters: all that an optimiser changes."""
        return list(self.heads.parameters())

    def take(self, known: Mapping[str, Tensor]) -> list[str]:
        """Go on with the heads of another training, and the mixing that they learnt behind.

        Args:
            known: `state_dict` of a discriminator on frozen features, tensors on any device.

        Returns:
            the networks whose heads were taken; those of another size, or of networks that `known` does not
            have, stay as they were.
        """
        own, taken = self.state_dict(), []
        for name in self._networks:
            key = name.replace(".", "_")
            parts = [n for n in own if n.startswith((f"projections.{key}.", f"heads.{key}."))]
            if all(n in known and known[n].shape == own[n].shape for n in parts):
                own |= {n: known[n] for n in parts}
                taken.append(name)
        self.load_state_dict(own)
        return taken

    def to_device(self, device: torch.device) -> FeatureDiscriminator:
        """Itself with its frozen networks on `device`."""
        for network in self._networks.values():
            network.to(device)
        return self.to(device)

    def forward(self, images: Tensor, c: Tensor | None) -> list[Tensor]:
        """Logits of every head, float32 [N, patches] each: high for real.

        Args:
            images: float32 [N, 3, H, H] in [-1, 1], RGB, augmented.
            c: float32 [N, c_dim] one-hot; None without classes.
        """
        out = []
        for name, network in self._networks.items():
            key = name.replace(".", "_")
            mixed = self.projections[key](network(images))
            heads: Any = self.heads[key]
            out += [head(maps, c) for head, maps in zip(heads, mixed, strict=True)]
        return out


def hinge_of_real_and_fake(real: Sequence[Tensor], fake: Sequence[Tensor]) -> Tensor:
    """Hinge loss of discriminators, mean over heads: scalar.

    Args:
        real: float32 [N, patches] of each head, on real images.
        fake: likewise, on generated ones.
    """
    losses = [F.relu(1 - r).mean() + F.relu(1 + f).mean() for r, f in zip(real, fake, strict=True)]
    return torch.stack(losses).mean()


def hinge_of_generator(fake: Sequence[Tensor]) -> Tensor:
    """Minus the mean logit of generated images, mean over heads: scalar.

    Args:
        fake: float32 [N, patches] of each head.
    """
    return -torch.stack([f.mean() for f in fake]).mean()
