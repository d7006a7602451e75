"""Perceived race, gender and age of aligned faces, as calibrated probabilities.

The classes are how annotators perceived faces (FairFace); they say nothing about how a person identifies.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from attribute_models.batching import in_micro_batches, torch_device
from attribute_models.networks import load_network
from manifests.errors import UsageError
from manifests.taxonomy import Taxonomy, get_taxonomy
from manifests.weights import Weight

Probabilities = npt.NDArray[np.float32]


class AttributeModel:
    """A trained `AttributeNetwork` with its classes and temperatures.

    classes: head -> class names, in the order of the columns. weight: where the model comes from.
    """

    def __init__(self, weight: Weight, device: str = "cpu") -> None:
        self.weight = weight
        self.device = torch_device(device)
        config, network = load_network(weight.path, "attributes")
        self.network = network.to(self.device)
        self.size = int(config["size"])
        self.classes: Mapping[str, tuple[str, ...]] = {h: tuple(names) for h, names in config["heads"].items()}
        self.temperature = {head: float(config["temperature"][head]) for head in self.classes}

    @property
    def label_source(self) -> str:
        """`model:<name>@<digest8>`, for the manifest column `attribute_source`."""
        return f"model:{self.weight.name}@{self.weight.digest8}"

    def _probabilities(self, x: Tensor) -> Tensor:
        views = [self.network(x), self.network(x.flip(3))]
        return torch.cat([
            torch.softmax((views[0][head] + views[1][head]) / (2 * self.temperature[head]), 1) for head in self.classes
        ], 1)

    def predict(self, images: npt.NDArray[np.uint8]) -> dict[str, Probabilities]:
        """Probabilities of every head, the logits averaged over the image and its mirror.

        Args:
            images: uint8 [N, H, W, 3] RGB, aligned as by `attribute_models.alignment.align`, any H and W.

        Returns:
            head -> float32 [N, len(classes[head])], rows sum to 1. A row depends on its image alone.

        Raises:
            UsageError: images of another type or shape.
        """
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
            images, self.size, self.device, lambda x: (self.network.trunk(x) + self.network.trunk(x.flip(3))) / 2,
        )

    def predict_cells(
        self, images: npt.NDArray[np.uint8], taxonomy: str | Taxonomy = "fairface4",
    ) -> tuple[Probabilities, Probabilities]:
        """Race and gender probabilities in another taxonomy.

        Returns:
            race float32 [N, len(taxonomy.races)] (mass that does not map is left out, the rest renormalised) and
            gender float32 [N, len(taxonomy.genders)].

        Raises:
            UsageError: the model's races cannot be mapped to `taxonomy`.
        """
        target = get_taxonomy(taxonomy) if isinstance(taxonomy, str) else taxonomy
        axes = self.axes(self.predict(images), target)
        return axes["race"], axes["gender"]

    def axes(self, found: Mapping[str, Probabilities], target: Taxonomy) -> dict[str, Probabilities]:
        """Probabilities of `predict` in the classes of a taxonomy.

        Args:
            found: what `predict` gave.
            target: the taxonomy.

        Returns:
            axis -> float32 [N, len(target.axes[axis])]: race (mass that does not map is left out, the rest
            renormalised), gender, and age in the taxonomy's bins where it has some.

        Raises:
            UsageError: the model's races cannot be mapped to the taxonomy.
        """
        own = get_taxonomy("fairface7")
        if set(self.classes["race"]) != set(own.races) or set(self.classes["gender"]) != set(target.genders):
            raise UsageError(
                f"model {self.weight.name!r}", f"does not know the races of {own.name}", "choose another model",
            )
        race = found["race"][:, [self.classes["race"].index(name) for name in own.races]]
        race = own.aggregate(race, target.name)
        gender = found["gender"][:, [self.classes["gender"].index(name) for name in target.genders]]
        out = {"race": race / np.maximum(race.sum(1, keepdims=True), np.float32(1e-12)), "gender": gender}
        return {**out, "age": target.bin_ages(found["age"], self.classes["age"])} if target.ages else out
