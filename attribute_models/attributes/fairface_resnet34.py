"""FairFace's own classifier: a ResNet-34 with 18 outputs, seven races, two genders, nine age bands; the
user's file.

Kärkkäinen & Joo, "FairFace: Face attribute dataset for balanced race, gender, and age", WACV 2021. Input: 224
px, ImageNet normalisation. The authors cut faces by dlib's chips with a padding of 0.25, whose eyes lie where
this project's template has them (within 0.01 of the side), so crops of `attribute_models.detection.alignment`
take their place.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from attribute_models.attributes.classifier import FaceClassifier, Probabilities
from attribute_models.batching import in_micro_batches
from attribute_models.registry import ATTRIBUTE_MODELS, FileParams
from manifests.taxonomy import AGES, GENDERS
from manifests.weights import Weight
from nn.devices import torch_device

if TYPE_CHECKING:
    from torch import Tensor

SIZE = 224
RACES = ("White", "Black", "Latino_Hispanic", "East Asian", "Southeast Asian", "Indian", "Middle Eastern")
"""The first seven outputs, in the order of the authors' file; then gender, then age."""
MEAN, DEVIATION = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


def normalised(x: Tensor) -> Tensor:
    """float32 [N, 3, H, W] in [-1, 1] to what torchvision's ImageNet networks see."""
    mean, deviation = (x.new_tensor(values).view(1, 3, 1, 1) for values in (MEAN, DEVIATION))
    return ((x + 1) / 2 - mean) / deviation


class FairFaceResnet34(FaceClassifier):
    """The network of the FairFace authors. Its probabilities are not calibrated here.

    Raises:
        DataError: the file does not hold a ResNet-34 with 18 outputs. UsageError, MissingError: the device.
    """

    crop = SIZE

    def __init__(self, weight: Weight, device: str = "cpu") -> None:
        from torchvision.models import resnet34

        from attribute_models.user_weights import fill

        self.weight, self.device = weight, torch_device(device)
        self.classes = {"race": RACES, "gender": GENDERS, "age": AGES}
        count = sum(map(len, self.classes.values()))
        self.network = fill(resnet34(weights=None, num_classes=count), weight.path).to(self.device)

    def _probabilities(self, x: Tensor) -> Tensor:
        import torch

        parts = self.network(normalised(x)).split([len(names) for names in self.classes.values()], 1)
        return torch.cat([torch.softmax(part, 1) for part in parts], 1)

    def predict(self, images: npt.NDArray[np.uint8]) -> dict[str, Probabilities]:
        """Probabilities of every head; see `FaceClassifier.predict`."""
        joined = in_micro_batches(images, SIZE, self.device, self._probabilities)
        ends = np.cumsum([len(names) for names in self.classes.values()])[:-1]
        return dict(zip(self.classes, np.split(joined, ends, axis=1), strict=True))


NAME = "fairface-resnet34"
ORIGIN = (
    "It is res34_fair_align_multi_7_20190809.pt of the FairFace authors, by the links in the README of "
    "github.com/dchen236/FairFace (licence CC BY 4.0: name Kärkkäinen & Joo, WACV 2021)"
)


@ATTRIBUTE_MODELS.register(
    NAME,
    family="attributes",
    params=FileParams,
    licence="CC BY 4.0 (the user's file)",
    paper="Kärkkäinen & Joo, FairFace: face attribute dataset for balanced race, gender, and age, WACV 2021",
)
def fairface_resnet34(params: FileParams) -> FairFaceResnet34:
    """FairFace's own ResNet-34 with 18 outputs: race (7 classes), gender, age (9 bands); you bring the
    file.
    """
    from attribute_models.user_weights import user_weight

    return FairFaceResnet34(user_weight(NAME, params.file, "attributes", ORIGIN), params.device)
