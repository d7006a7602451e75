"""Perceived race, gender and age of aligned faces, as calibrated probabilities.

The classes are how annotators perceived faces (FairFace); they say nothing about how a person identifies.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from attribute_models.attributes.classifier import FaceClassifier, Probabilities
from attribute_models.batching import in_micro_batches
from attribute_models.registry import ATTRIBUTE_MODELS, DeviceParams
from manifests.weights import Weight, find_weight
from nn.devices import torch_device

if TYPE_CHECKING:
    from torch import Tensor


class AttributeModel(FaceClassifier):
    """A trained `AttributeNetwork` with its classes and temperatures.

    classes: head -> class names, in the order of the columns. weight: where the model comes from.
    """

    def __init__(self, weight: Weight, device: str = "cpu") -> None:
        from attribute_models.networks import load_network

        self.weight = weight
        self.device = torch_device(device)
        config, network = load_network(weight.path, "attributes")
        self.network: Any = network.to(self.device)
        self.size = int(config["size"])
        self.classes: Mapping[str, tuple[str, ...]] = {
            h: tuple(names) for h, names in config["heads"].items()
        }
        self.temperature = {head: float(config["temperature"][head]) for head in self.classes}

    def _probabilities(self, x: Tensor) -> Tensor:
        import torch

        views = [self.network(x), self.network(x.flip(3))]
        return torch.cat(
            [
                torch.softmax((views[0][head] + views[1][head]) / (2 * self.temperature[head]), 1)
                for head in self.classes
            ],
            1,
        )

    def predict(self, images: npt.NDArray[np.uint8]) -> dict[str, Probabilities]:
        """See `FaceClassifier.predict`; the logits are averaged over the image and its mirror."""
        joined = in_micro_batches(images, self.size, self.device, self._probabilities)
        ends = np.cumsum([len(names) for names in self.classes.values()])[:-1]
        return dict(zip(self.classes, np.split(joined, ends, axis=1), strict=True))

    def features(self, images: npt.NDArray[np.uint8]) -> npt.NDArray[np.float32]:
        """What the heads see: the trunk's pooled features, averaged over the image and its mirror.

        Args:
            images: as `predict`.

        Returns:
            float32 [N, trunk.num_features]; 512 for `fairforge-small`. A row depends on its image alone.

        Raises:
            UsageError: images of another type or shape.
        """
        return in_micro_batches(
            images,
            self.size,
            self.device,
            lambda x: (self.network.trunk(x) + self.network.trunk(x.flip(3))) / 2,
        )


NAME = "fairforge-small"


@ATTRIBUTE_MODELS.register(
    NAME,
    family="attributes",
    params=DeviceParams,
    paper="Kärkkäinen & Joo, FairFace: face attribute dataset for balanced race, gender, and age, WACV 2021",
)
def fairforge_small(params: DeviceParams) -> AttributeModel:
    """Perceived race (7 classes), gender and age (9 bands) of an aligned face, calibrated; trained on
    FairFace.
    """
    return AttributeModel(find_weight(NAME, "attributes"), params.device)
