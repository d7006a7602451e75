"""Dense landmarks of aligned faces, scheme `mesh148`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from attribute_models.batching import check_images, in_micro_batches
from attribute_models.registry import ATTRIBUTE_MODELS, DeviceParams
from manifests.errors import DataError
from manifests.mesh148 import INDICES, MIRROR
from manifests.weights import Weight, find_weight
from nn.devices import torch_device

if TYPE_CHECKING:
    from torch import Tensor


class Landmarker:
    """A trained `LandmarkNetwork`. scheme: name of the landmark scheme. weight: where the model comes
    from.
    """

    def __init__(self, weight: Weight, device: str = "cpu") -> None:
        import torch

        from attribute_models.networks import load_network

        self.weight = weight
        self.device = torch_device(device)
        config, network = load_network(weight.path, "landmarks")
        self.network = network.to(self.device)
        self.size = int(config["size"])
        self.scheme = str(config["scheme"])
        if (self.scheme, config["points"]) != ("mesh148", len(INDICES)):
            raise DataError(
                str(weight.path),
                f"has {config['points']} points of scheme {self.scheme!r}",
                "give a mesh148 model",
            )
        self._swap = torch.from_numpy(MIRROR).to(self.device)

    def _points(self, x: Tensor) -> Tensor:
        import torch

        points, other = self.network(x), self.network(x.flip(3))[:, self._swap]
        return (points + torch.stack([1 - other[..., 0], other[..., 1]], -1)) / 2

    def predict(self, images: npt.NDArray[np.uint8]) -> npt.NDArray[np.float32]:
        """Landmarks, averaged over the image and its mirror.

        Args:
            images: uint8 [N, H, W, 3] RGB, aligned as by `attribute_models.detection.alignment.align`, any H
                and W.

        Returns:
            float32 [N, 148, 2], x and y in pixels of the input, (0, 0) the outer corner of its first pixel.
            A row depends on its image alone.

        Raises:
            UsageError: images of another type or shape.
        """
        check_images(images)
        points = in_micro_batches(images, self.size, self.device, self._points)
        return points * np.array([images.shape[2], images.shape[1]], np.float32)


NAME = "fairforge-mesh148"


@ATTRIBUTE_MODELS.register(
    NAME,
    family="landmarks",
    params=DeviceParams,
    paper="Feng et al., Wing loss for robust facial landmark localisation, CVPR 2018",
)
def fairforge_mesh148(params: DeviceParams) -> Landmarker:
    """148 points of the face mesh (scheme mesh148) of an aligned face; trained on FairFace with machine-made
    labels.
    """
    return Landmarker(find_weight(NAME, "landmarks"), params.device)
