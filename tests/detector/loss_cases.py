"""Batches for losses: outputs of real small networks, with everything that any loss may need."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from detector.losses import LOSSES, Given, Loss, Targets
from detector.models.network import build_network
from detector.models.network_config import NetworkConfig
from detector.training.batches import network_inputs

HEADS = {
    "race": ("a", "b", "c"),
    "gender": ("m", "f"),
    "cell": ("am", "af", "bm", "cf"),
    "family": ("none", "swap", "blend"),
}
COUNTS = {
    "race": (40, 20, 0),
    "gender": (30, 30),
    "cell": (20, 20, 15, 5),
    "family": (30, 20, 10),
    "fake": (30, 30),
}
GIVEN = Given(tuple(HEADS), COUNTS, qualities=2, mask_decoder=True)
REACHING = {"individual-fairness": {"lipschitz": 0.0}}
"""Parameters with which a loss is not zero on untrained networks."""
VARIANTS: list[tuple[str, dict[str, Any]]] = [
    *((name, REACHING.get(name, {})) for name in LOSSES.names()),
    ("bido-hsic", {"against": "cell"}),
    ("bido-coco", {"against": "race", "pooling": "mean"}),
    ("focal", {"alpha": 0.25}),
    ("individual-fairness", {"across": "cells", "metric": "features", "lipschitz": 0.1}),
    ("ldam", {"head": "cell"}),
]


@dataclass
class Case:
    """A loss that is prepared, the network it asks for, and a batch of six images at two qualities."""

    loss: Loss
    network: torch.nn.Module
    targets: Targets

    def outputs(self) -> dict[str, Tensor]:
        return self.network(*network_inputs(self.network.config, self.targets))

    def value(self, outputs: dict[str, Tensor], targets: Targets | None = None) -> Tensor:
        return self.loss(outputs, self.targets if targets is None else targets, 0.05)


def prepared(name: str, params: dict[str, Any] | None = None) -> Loss:
    loss = LOSSES.create(name, params or {})
    loss.prepare(GIVEN)
    return loss


def targets(images: int = 6, qualities: int = 2, size: int = 64, seed: int = 0) -> Targets:
    g = torch.Generator().manual_seed(seed)
    n = images * qualities

    def twice(values: Tensor) -> Tensor:
        return values.repeat(qualities, *[1] * (values.ndim - 1))

    fake = (torch.arange(images) % 2).float()
    family = torch.where(fake > 0, torch.randint(1, 3, (images,), generator=g), 0)
    groups = {
        name: torch.randint(0, len(HEADS[name]), (images,), generator=g)
        for name in ("race", "gender", "cell")
    }
    groups["cell"][0] = groups["race"][1] = family[1] = -1
    masks = torch.rand(images, size, size, generator=g) * fake[:, None, None]
    masks[1] = -1
    quality = torch.arange(n) // images
    pairs = torch.arange(images) // 2
    return Targets(
        fake=twice(fake),
        groups={k: twice(v) for k, v in {**groups, "family": family}.items()},
        images=torch.randn(n, 3, size, size, generator=g),
        masks=twice(masks),
        pairs=twice(pairs) + images * quality,
        tuples=twice(torch.arange(images)),
        qualities=quality,
    )


def case(name: str, params: dict[str, Any] | None = None) -> Case:
    loss = prepared(name, params)
    needs = loss.needs
    config = NetworkConfig(
        backbone="test_resnet",
        input_size=64,
        heads=HEADS,
        cosine=dict(needs.cosine),
        layers=needs.layers,
        architecture="single" if needs.network == "any" else needs.network,
        mask_decoder=needs.masks,
    )
    return Case(loss, build_network(config, 3).train(), targets())


def cast(values: dict[str, Tensor], dtype: torch.dtype) -> dict[str, Tensor]:
    return {k: v.detach().to(dtype).requires_grad_() for k, v in values.items()}
