"""Identity embeddings: is this the same person? dlib's face recognition ResNet on a 150 px chip.

The chip's geometry is that of dlib's 5-point shape with padding 0.25: the outer and inner corners of both
eyes and the base of the nose. With `five` landmarks the eye centres and mouth corners take their place, at
the positions where these lie on average in chips made from the mesh.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Protocol

import numpy as np
import numpy.typing as npt

from attribute_models.detection.alignment import FITTED, fit_similarity, invert, warp
from attribute_models.registry import ATTRIBUTE_MODELS, DeviceParams
from manifests.errors import MissingError, UsageError
from manifests.mesh148 import INDICES, five_of
from manifests.weights import Weight, find_weight
from nn.devices import torch_device

Image = npt.NDArray[np.uint8]
Embedding = npt.NDArray[np.float32]

CHIP = 150
PADDING = 0.25
_SHAPE = np.array(
    [
        [0.8595674595992, 0.2134981538014],
        [0.6460604764104, 0.2289674387677],
        [0.1205750620789, 0.2137274526848],
        [0.3340850613712, 0.2290642403242],
        [0.4901123135679, 0.6277975316475],
    ]
)
CORNERS = (_SHAPE + PADDING) / (1 + 2 * PADDING)
"""dlib's mean 5-point shape in units of the chip: left eye outer, inner, right eye outer, inner, base of the
nose.
"""
MESH_CORNERS = tuple(INDICES.index(i) for i in (263, 362, 33, 133, 2))
FIVE = np.array([[0.318, 0.313], [0.669, 0.313], [0.494, 0.549], [0.345, 0.695], [0.642, 0.695]])
"""Mean position of the scheme `five` in chips made from the mesh, in units of the chip."""
WEIGHT_FILE = "dlib_face_recognition_resnet_model_v1.dat"


class IdentityModel(Protocol):
    """What an identity model offers. `dim`: numbers per embedding; compare by Euclidean distance.

    weight: what it is made of; its digest enters cache keys.
    """

    dim: int
    weight: Weight

    def embed(self, image: Image, points: npt.NDArray[np.floating]) -> Embedding:
        """float32 [dim] of the face with these landmarks."""
        ...

    def embed_many(self, images: Sequence[Image], points: Sequence[npt.NDArray[np.floating]]) -> Embedding:
        """float32 [N, dim], row i as `embed(images[i], points[i])`."""
        ...


def chip_of(image: Image, points: npt.NDArray[np.floating]) -> Image:
    """The 150 px chip of one face: uint8 [150, 150, 3].

    Args:
        image: uint8 [H, W, 3] RGB.
        points: float [148, 2] (mesh148) or [5, 2] (five), pixels.

    As in dlib the similarity is fitted from the chip's shape to the face and then inverted.

    Raises:
        UsageError: points of another shape, or points that coincide.
    """
    shape = np.shape(points)
    if shape == (len(INDICES), 2):
        template, found = CORNERS, np.asarray(points, np.float64)[list(MESH_CORNERS)]
    elif shape == (5, 2):
        template, found = FIVE[list(FITTED)], np.asarray(points, np.float64)[list(FITTED)]
    else:
        raise UsageError(
            f"points {list(shape)}", "are neither mesh148 nor five", "give float [148, 2] or [5, 2]"
        )
    return warp(image, invert(fit_similarity(template * CHIP, found)), CHIP, CHIP, "reflect")


def five_points(points: npt.NDArray[np.floating]) -> npt.NDArray[np.float32]:
    """The scheme `five` of landmarks: float [148, 2] (mesh148) or [5, 2] to float32 [5, 2].

    Raises:
        UsageError: points of another shape.
    """
    found = np.asarray(points, np.float32)
    if found.shape == (5, 2):
        return found
    if found.shape != (len(INDICES), 2):
        raise UsageError(
            f"points {list(found.shape)}", "are neither mesh148 nor five", "give float [148, 2] or [5, 2]"
        )
    return five_of(found)


def paired(
    images: Sequence[Image], points: Sequence[npt.NDArray[np.floating]]
) -> Iterator[tuple[Image, npt.NDArray[np.floating]]]:
    """Images with their points.

    Raises:
        UsageError: they differ in number.
    """
    if len(images) != len(points):
        raise UsageError(
            f"{len(images)} images", f"came with {len(points)} sets of points", "give one per image"
        )
    return zip(images, points, strict=True)


def dlib_weight() -> Weight:
    """The model file inside the installed package `face_recognition_models` (which is not imported).

    Raises:
        MissingError: the package or its file is not installed.
    """
    found = importlib.util.find_spec("face_recognition_models")
    if found is None:
        raise MissingError(
            "identity model 'dlib-resnet'",
            "needs the package face_recognition_models, which is not installed",
            "pip install face_recognition_models",
        )
    path = Path(str(found.origin)).parent / "models" / WEIGHT_FILE
    if not path.is_file():
        raise MissingError(str(path), "is not there", "pip install --force-reinstall face_recognition_models")
    return replace(
        find_weight(path, "identity"),
        name="dlib-resnet",
        licence="CC0-1.0",
        data="about 3 million faces (FaceScrub, VGG, scraped pictures); D. King, 2017",
    )


class DlibResnet:
    """dlib's ResNet: float32 [128] per face; two pictures of one person are mostly nearer than 0.6.

    Raises:
        MissingError: the weights are not installed, or no such device. UsageError: unknown device. DataError:
            damaged weights.
    """

    dim = 128

    def __init__(self, device: str = "cpu") -> None:
        from attribute_models.networks.dlib import DlibNetwork

        self.device, self.weight = torch_device(device), dlib_weight()
        self._network = DlibNetwork(self.weight.path).to(self.device)

    def embed(self, image: Image, points: npt.NDArray[np.floating]) -> Embedding:
        """Embedding of one face: float32 [128].

        Args:
            image: uint8 [H, W, 3] RGB.
            points: float [148, 2] (mesh148) or [5, 2] (five), pixels.

        Raises:
            UsageError: points of another shape, or points that coincide.
        """
        import torch

        chip = np.ascontiguousarray(chip_of(image, points))
        with torch.inference_mode():
            x = torch.from_numpy(chip).to(self.device).permute(2, 0, 1)[None].float()
            return self._network(x)[0].cpu().numpy()

    def embed_many(self, images: Sequence[Image], points: Sequence[npt.NDArray[np.floating]]) -> Embedding:
        """Embeddings of many faces: float32 [N, 128]; one at a time, so a row never depends on its
        neighbours.

        Raises:
            UsageError: as `embed`; images and points differ in number.
        """
        rows = [self.embed(image, face) for image, face in paired(images, points)]
        return np.stack(rows) if rows else np.zeros((0, self.dim), np.float32)


@ATTRIBUTE_MODELS.register(
    "dlib-resnet",
    family="identity",
    params=DeviceParams,
    licence="CC0-1.0 (weights)",
    weight=dlib_weight,
    paper="King, Dlib-ml: a machine learning toolkit, JMLR 2009; ResNet-29 metric-learning model of 2017",
)
def dlib_resnet(params: DeviceParams) -> DlibResnet:
    """128 numbers per face, Euclidean distance below 0.6 for one person: dlib's face recognition ResNet."""
    return DlibResnet(params.device)
