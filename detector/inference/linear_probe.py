"""The floor of every table: a linear probe on frozen ImageNet features, EfficientNet-Lite0's, which come with
a package.

What a classifier reads out of features that never saw a forgery is what a detector must beat. The probe is a
detector like any other: its standardisation is folded into the head of a network, so that it predicts by the
same road.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from detector.inference.prediction import MICRO_BATCH, Detector
from detector.models.network import DetectorNetwork, create_network, normalise
from detector.models.network_config import NetworkConfig
from detector.models.starting_weights import load_backbone, normalisation_of, read_weights
from detector.training.data import SplitData
from manifests.errors import UsageError
from nn.packaged import EFFICIENTNET_LITE0, in_order

BACKBONE = "efficientnet_lite0"
INVERSE_PENALTY = 0.01
"""scikit-learn's C: of the squared length of the weights of standardised features."""
STEPS = 1000
Floats = npt.NDArray[np.float32]


@torch.inference_mode()
def _features(network: DetectorNetwork, data: SplitData, device: str) -> Floats:
    """Pooled features of every row: float32 [N, F]."""
    parts = []
    for start in range(0, len(data), MICRO_BATCH):
        images = torch.from_numpy(data.batch(range(start, min(start + MICRO_BATCH, len(data)))))
        parts.append(network(normalise(images.to(device), network.config))["features"].cpu().numpy())
    return np.concatenate(parts)


def fit_probe(data: SplitData, device: str = "cpu") -> Detector:
    """A logistic regression on the features of labelled images, real and fake weighing alike, as a detector.

    Args:
        data: images at the size that the probe is to see, labels 0 and 1.
        device: torch device.

    Raises:
        MissingError, DataError: the package of the weights is not installed, or is another. UsageError: one
            class alone.
    """
    from sklearn.linear_model import LogisticRegression

    if len(np.unique(data.labels)) < 2:
        raise UsageError(
            "a linear probe", "needs real and fake images", "give a training split that has both"
        )
    mean, std = normalisation_of(BACKBONE)
    network: Any = create_network(NetworkConfig(backbone=BACKBONE, input_size=data.size, mean=mean, std=std))
    tensors = in_order(network.trunk, read_weights(EFFICIENTNET_LITE0.path()), EFFICIENTNET_LITE0)
    load_backbone(network.trunk, tensors, EFFICIENTNET_LITE0.distribution)
    network.to(memory_format=torch.channels_last).to(device).eval()
    features = _features(network, data, device).astype(np.float64)
    centre, scale = features.mean(0), features.std(0) + 1e-6
    model = LogisticRegression(C=INVERSE_PENALTY, class_weight="balanced", max_iter=STEPS)
    model.fit((features - centre) / scale, data.labels)
    weight = model.coef_[0] / scale
    with torch.no_grad():
        network.fake.weight.copy_(torch.from_numpy(weight[None]))
        network.fake.bias.copy_(torch.tensor([model.intercept_[0] - float(weight @ centre)]))
    return Detector(network, {}, device)
