"""Face detection: boxes, scores and the five points of every face in a picture.

Detectors are made for photographs with some background; an aligned crop whose face fills the picture gets a border of
repeated edge pixels and is enlarged first, and what is found is mapped back. Repeating (not reflecting) the edge keeps
mirror images of the face out of the border.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

import cv2
import numpy as np
import numpy.typing as npt

from manifests.errors import UsageError
from manifests.weights import Weight
from nn.devices import torch_device

if TYPE_CHECKING:
    from attribute_models.models.mtcnn import MtcnnParams

Image = npt.NDArray[np.uint8]


@dataclass(frozen=True)
class DetectedFace:
    """One face. box: float32 [4], x0 y0 x1 y1; score: 0 to 1; five: float32 [5, 2], scheme `five`; all in pixels."""

    box: npt.NDArray[np.float32]
    score: float
    five: npt.NDArray[np.float32]


class FaceDetector(Protocol):
    """What a face detector offers. weight: what it is made of; its digest enters cache keys."""

    weight: Weight

    def detect(self, image: Image) -> list[DetectedFace]:
        """Faces of uint8 [H, W, 3] RGB, best score first."""
        ...


def _bordered(image: Image, pad: float, upscale_to: int) -> tuple[Image, float, int]:
    """The picture with its border, enlarged; the factor, and the border's width in pixels before enlarging."""
    border = round(pad * max(image.shape[:2]))
    out = cv2.copyMakeBorder(image, border, border, border, border, cv2.BORDER_REPLICATE) if border else image
    factor = upscale_to / max(out.shape[:2])
    if factor <= 1:
        return out, 1.0, border
    height, width = (round(side * factor) for side in out.shape[:2])
    return cv2.resize(out, (width, height), interpolation=cv2.INTER_CUBIC), factor, border


class Mtcnn:
    """MTCNN (Zhang et al., IEEE SPL 2016) with the weights of facenet-pytorch 2.5.3, one picture at a time.

    Raises:
        MissingError: facenet-pytorch is not installed, or no such device. UsageError: unknown device.
    """

    def __init__(self, params: MtcnnParams, weight: Weight) -> None:
        from attribute_models.detection.mtcnn_cascade import Cascade

        self.params, self.weight = params, weight
        self._cascade = Cascade(self.weight.path, params.min_face, params.thresholds, torch_device(params.device))

    def detect(self, image: Image) -> list[DetectedFace]:
        """Faces whose centre lies in the picture, best score first; an empty list where there is none.

        Args:
            image: uint8 [H, W, 3], RGB, any size.

        Raises:
            UsageError: an image of another type or shape.
        """
        if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3 or 0 in image.shape:
            raise UsageError(f"image {image.dtype} {list(image.shape)}", "cannot be searched", "give uint8 [H, W, 3]")
        picture, factor, border = _bordered(np.ascontiguousarray(image), self.params.pad, self.params.upscale_to)
        if min(picture.shape[:2]) < self.params.min_face:
            return []
        found = self._cascade.find(picture)
        height, width = image.shape[:2]
        faces = []
        for box, score, five in zip(found.boxes, found.scores, found.points, strict=True):
            place = (np.asarray(box, np.float64) / factor - border).astype(np.float32)
            centre = (place[:2] + place[2:]) / 2
            if (centre >= 0).all() and centre[0] <= width and centre[1] <= height:
                faces.append(DetectedFace(
                    place, float(score), (np.asarray(five, np.float64) / factor - border).astype(np.float32)
                ))
        return sorted(faces, key=lambda face: (-face.score, *face.box.tolist()))
