"""A trained detector: uint8 images in, fake probabilities out. Images pass in canonical micro-batches.

Every forward pass has `MICRO_BATCH` rows (the last is filled with repeats), so an image's score has the same
bits whatever its neighbours. The number of torch threads may change last bits; it is the caller's to fix.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from detector.inference.checkpoints import find_detector, load_network
from detector.models.network import DetectorNetwork, mirrored_logits, normalise
from manifests.errors import UsageError
from manifests.images import Image, resize
from nn.devices import torch_device
from nn.micro_batches import micro_batches

MICRO_BATCH = 32
Floats = npt.NDArray[np.float32]


def fit_images(images: Image, size: int) -> Image:
    """Images at the network's size: uint8 [N, size, size, 3]. Any height and width: resampled to a square
    (Lanczos).

    Raises:
        UsageError: not uint8 [N, H, W, 3].
    """
    if images.ndim != 4 or images.shape[3] != 3 or images.dtype != np.uint8:
        raise UsageError(
            f"images {images.dtype} {list(images.shape)}",
            "are not uint8 [N, H, W, 3]",
            "give RGB images in a batch",
        )
    if images.shape[1:3] == (size, size):
        return images
    return np.stack([resize(image, size) for image in images]) if len(images) else images[:, :0, :0]


@torch.inference_mode()
def probabilities(
    network: DetectorNetwork, images: Image, device: str | torch.device = "cpu"
) -> dict[str, Floats]:
    """Outputs of a network in evaluation mode: `fake` float32 [N] and one float32 [N, classes] per head.

    Args:
        network: on `device`.
        images: uint8 [N, S, S, 3], RGB, S the network's size.
        device: where it computes.
    """
    names = ["fake", *network.heads]
    parts: dict[str, list[Floats]] = {name: [] for name in names}
    for at, kept in micro_batches(len(images), MICRO_BATCH):
        inputs = normalise(torch.from_numpy(images[at]).to(device), network.config)
        for name, logits in mirrored_logits(network, inputs).items():
            values = torch.sigmoid(logits) if name == "fake" else torch.softmax(logits, 1)
            parts[name].append(values[:kept].cpu().numpy())
    empty = {
        n: np.zeros((0, *([len(network.config.heads[n])] if n != "fake" else [])), np.float32) for n in names
    }
    return {name: np.concatenate(parts[name]) if parts[name] else empty[name] for name in names}


class Detector:
    """A trained detector. `classes`: class names of each demographic head; `header`: all the checkpoint
    says.
    """

    def __init__(self, network: DetectorNetwork, header: Mapping[str, Any], device: str = "cpu") -> None:
        self.network, self.header, self.device = network.to(device).eval(), dict(header), device

    @property
    def input_size(self) -> int:
        """Side of the network's input, pixels."""
        return self.network.config.input_size

    @property
    def classes(self) -> dict[str, tuple[str, ...]]:
        """Class names per demographic head, in the order of the columns of `predict_all`."""
        return dict(self.network.config.heads)

    def predict(self, images: Image) -> Floats:
        """Fake probability of each image.

        Args:
            images: uint8 [N, H, W, 3], RGB, any size.

        Returns:
            float32 [N] in [0, 1]; 1 is fake.

        Raises:
            UsageError: images of another type or shape.
        """
        return self.predict_all(images)["fake"]

    def predict_all(self, images: Image) -> dict[str, Floats]:
        """`fake` float32 [N], and per demographic head its class probabilities float32 [N, classes]; see
        `predict`.
        """
        return probabilities(self.network, fit_images(images, self.input_size), self.device)


def load_detector(path: str | Path, device: str = "cpu") -> Detector:
    """The detector in a checkpoint file, in a training's folder, or catalogued under a name.

    Raises:
        MissingError: neither a file nor a name, or no such device here. UsageError: an unknown device.
        DataError: the file is damaged or holds no detector.
    """
    torch_device(device)
    network, header = load_network(find_detector(path).path)
    return Detector(network, header, device)
