"""Face detector `mtcnn`.

Detectors are made for photographs with some background; an aligned crop whose face fills the picture gets a
border of repeated edge pixels and is enlarged first, and what is found is mapped back. Repeating (not
reflecting) the edge keeps mirror images of the face out of the border.
"""

from __future__ import annotations

import importlib.util
from pathlib import Path

import numpy as np
from pydantic import Field

from attribute_models.detection.boxes import DetectedFace, Image
from attribute_models.registry import ATTRIBUTE_MODELS, DeviceParams
from manifests.atomic import digest_file, digest_value
from manifests.errors import MissingError, UsageError
from manifests.weights import Weight
from nn.devices import torch_device


class MtcnnParams(DeviceParams):
    """How `mtcnn` looks at a picture.

    upscale_to: a picture whose longer side (padding included) is smaller is enlarged to it; 0 never enlarges.
    pad: edge padding on every side, as a share of the longer side. min_face: smallest face in pixels, after
    enlarging. thresholds: of the three networks, in turn.
    """

    upscale_to: int = Field(224, ge=0, le=4096)
    pad: float = Field(0.3, ge=0, le=1)
    min_face: int = Field(20, ge=12)
    thresholds: tuple[float, float, float] = (0.6, 0.7, 0.7)


def mtcnn_weight() -> Weight:
    """The three networks inside the installed package facenet-pytorch, which is not imported for it.

    Raises:
        MissingError: the package is not installed, or has no such files.
    """
    found = importlib.util.find_spec("facenet_pytorch")
    folder = Path(str(found.origin)).parent / "data" if found is not None else Path()
    files = [folder / f"{name}net.pt" for name in "pro"]
    if found is None or not all(file.is_file() for file in files):
        raise MissingError(
            "face detector 'mtcnn'",
            "needs facenet-pytorch with its networks, which are not installed",
            "pip install --no-deps facenet-pytorch==2.5.3",
        )
    return Weight(
        "mtcnn", folder, digest_value({file.name: digest_file(file) for file in files}), "detection", "MIT"
    )


def _bordered(image: Image, pad: float, upscale_to: int) -> tuple[Image, float, int]:
    """The picture with its border, enlarged; the factor, and the border's width in pixels before
    enlarging.
    """
    import cv2

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
        from attribute_models.networks.mtcnn import Cascade

        self.params, self.weight = params, weight
        self._cascade = Cascade(
            self.weight.path, params.min_face, params.thresholds, torch_device(params.device)
        )

    def detect(self, image: Image) -> list[DetectedFace]:
        """Faces whose centre lies in the picture, best score first; an empty list where there is none.

        Args:
            image: uint8 [H, W, 3], RGB, any size.

        Raises:
            UsageError: an image of another type or shape.
        """
        if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3 or 0 in image.shape:
            raise UsageError(
                f"image {image.dtype} {list(image.shape)}", "cannot be searched", "give uint8 [H, W, 3]"
            )
        picture, factor, border = _bordered(
            np.ascontiguousarray(image), self.params.pad, self.params.upscale_to
        )
        if min(picture.shape[:2]) < self.params.min_face:
            return []
        found = self._cascade.find(picture)
        height, width = image.shape[:2]
        faces = []
        for box, score, five in zip(found.boxes, found.scores, found.points, strict=True):
            place = (np.asarray(box, np.float64) / factor - border).astype(np.float32)
            centre = (place[:2] + place[2:]) / 2
            if (centre >= 0).all() and centre[0] <= width and centre[1] <= height:
                faces.append(
                    DetectedFace(
                        place,
                        float(score),
                        (np.asarray(five, np.float64) / factor - border).astype(np.float32),
                    )
                )
        return sorted(faces, key=lambda face: (-face.score, *face.box.tolist()))


@ATTRIBUTE_MODELS.register(
    "mtcnn",
    family="detection",
    params=MtcnnParams,
    licence="MIT",
    weight=mtcnn_weight,
    paper=(
        "Zhang et al., Joint face detection and alignment using multi-task cascaded convolutional networks, "
        "IEEE SPL 2016"
    ),
)
def mtcnn(params: MtcnnParams) -> Mtcnn:
    """Faces with boxes, scores and five points, by the three-stage MTCNN of facenet-pytorch."""
    return Mtcnn(params, mtcnn_weight())
