"""What every race x gender x age model offers, whatever its network: classes, probabilities, and cells of a
taxonomy.

The classes are how annotators perceived faces; they say nothing about how a person identifies.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping

import numpy as np
import numpy.typing as npt

from manifests.errors import UsageError
from manifests.taxonomy import TAXONOMIES, Taxonomy, get_taxonomy
from manifests.weights import Weight

Probabilities = npt.NDArray[np.float32]


class FaceClassifier(ABC):
    """A model of aligned faces.

    classes: head -> class names, in the order of the columns. weight: where the model comes from.
    crop: side in pixels of the aligned crops that it reads best.
    """

    weight: Weight
    classes: Mapping[str, tuple[str, ...]]
    crop: int = 128

    @abstractmethod
    def predict(self, images: npt.NDArray[np.uint8]) -> dict[str, Probabilities]:
        """Probabilities of every head.

        Args:
            images: uint8 [N, H, W, 3] RGB, aligned as by `attribute_models.detection.alignment.align`, any H
                and W.

        Returns:
            head -> float32 [N, len(classes[head])], rows sum to 1. A row depends on its image alone.

        Raises:
            UsageError: images of another type or shape.
        """

    @property
    def label_source(self) -> str:
        """`model:<name>@<digest8>`, for the manifest column `attribute_source`."""
        return f"model:{self.weight.name}@{self.weight.digest8}"

    def own_taxonomy(self) -> Taxonomy:
        """The taxonomy whose races and genders this model's classes are, in any order.

        Raises:
            UsageError: the model has no such heads.
        """
        races, genders = set(self.classes.get("race", ())), set(self.classes.get("gender", ()))
        for taxonomy in TAXONOMIES.values():
            if races == set(taxonomy.races) and genders == set(taxonomy.genders):
                return taxonomy
        raise UsageError(
            f"model {self.weight.name!r}",
            f"has the races and genders of no taxonomy (heads: {', '.join(self.classes)})",
            "choose another model",
        )

    def predict_cells(
        self,
        images: npt.NDArray[np.uint8],
        taxonomy: str | Taxonomy = "fairface4",
    ) -> tuple[Probabilities, Probabilities]:
        """Race and gender probabilities in another taxonomy.

        Args:
            images: as `predict` takes them.
            taxonomy: by its name, or the thing itself.

        Returns:
            race float32 [N, len(taxonomy.races)] (mass that does not map is left out, the rest renormalised)
            and gender float32 [N, len(taxonomy.genders)].

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
            UsageError: the model's races cannot be mapped to the taxonomy, or it has no age bands where those
                are needed.
        """
        own = self.own_taxonomy()
        if set(own.genders) != set(target.genders):
            raise UsageError(
                f"model {self.weight.name!r}",
                f"has other genders than {target.name}",
                "choose another taxonomy",
            )
        if target.ages and any(target.age_bin(band) is None for band in self.classes.get("age", ("",))):
            raise UsageError(
                f"model {self.weight.name!r}",
                f"has no age bands, which {target.name} needs",
                f"use {target.root}",
            )
        race = found["race"][:, [self.classes["race"].index(name) for name in own.races]]
        race = own.aggregate(race, target.name)
        gender = found["gender"][:, [self.classes["gender"].index(name) for name in target.genders]]
        out = {"race": race / np.maximum(race.sum(1, keepdims=True), np.float32(1e-12)), "gender": gender}
        return {**out, "age": target.bin_ages(found["age"], self.classes["age"])} if target.ages else out
