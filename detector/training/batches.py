"""The truth of a batch, as losses take it, at every quality that the settings ask for."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from detector.losses import Targets
from detector.models.architectures import ARCHITECTURES
from detector.models.network_config import NetworkConfig
from detector.training.data import Indices, SplitData


def pair_numbers(pair_ids: Sequence[str | None]) -> Indices:
    """A number for each pair, -1 for rows of none: int64 [N]."""
    numbers = {p: i for i, p in enumerate(dict.fromkeys(p for p in pair_ids if p is not None))}
    return np.array([-1 if p is None else numbers[p] for p in pair_ids], np.int64)


def batch_targets(
    data: SplitData, rows: Indices, images: Tensor, *, qualities: int = 1, masks: Tensor | None = None
) -> Targets:
    """The truth of rows whose images stand in the batch once at each quality (`qualities.quality_tuples`).

    images: the network's input, [qualities x rows, 3, S, S]. masks: of the rows, once. All on the images'
    device.
    """
    device, repeated = images.device, np.tile(rows, qualities)
    places = np.arange(len(repeated))
    pairs = pair_numbers([data.pair_ids[row] for row in rows])
    shifted = np.where(
        np.tile(pairs, qualities) < 0, -1, np.tile(pairs, qualities) + len(rows) * (places // len(rows))
    )

    def tensor(values: np.ndarray) -> Tensor:
        return torch.from_numpy(values).to(device)

    return Targets(
        fake=tensor(data.labels[repeated]).to(torch.float32),
        groups={name: tensor(index[repeated]) for name, index in data.groups.items()},
        images=images,
        masks=None if masks is None else masks.repeat(qualities, 1, 1).to(device),
        pairs=tensor(shifted),
        tuples=tensor(places % len(rows)),
        qualities=tensor(places // len(rows)),
    )


def network_inputs(config: NetworkConfig, targets: Targets) -> tuple[Tensor, ...]:
    """What the network takes in training, as its architecture says.

    Args:
        config: of the network.
        targets: the truth of the batch, its images among it.
    """
    return ARCHITECTURES.create(config.architecture).inputs(targets)
