"""The face out of a frame of somebody else's video, as the deepfake benchmarks cut it: a square about the
detected box.

A frame with several faces gives the one that goes on from the frame before (same video), else the largest.
The square is moved, and where need be shrunk, to lie in the frame: no pixel is made up.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

import cv2
import numpy as np
import numpy.typing as npt

from manifests.errors import DataError, UsageError
from manifests.images import Image
from pipeline.engine import models
from pipeline.faces.crops import MIN_SCORE, aligned_crop, drawable

if TYPE_CHECKING:
    from attribute_models.detection.boxes import DetectedFace
    from manifests.adapters.base import SourceImage

LONGEST = 640
"""A frame is searched at this size of its longer side; a face of less than about 4 % of it is not found."""
STYLES = ("box", "aligned")
MARGINS = (1, 4)
"""Least and most side of a crop, in sides of the face's box."""
WHOLE_FRAME = {"pad": 0.0, "upscale_to": 0, "min_face": 24}
"""Parameters of a detector, where it has them, for frames: unlike a crop they need no border about them."""
NEAR = 1.0
"""A face goes on from the frame before if its centre moved by less than this many of its sides."""
Box = npt.NDArray[np.float64]


def square_about(
    box: npt.NDArray[np.floating], margin: float, height: int, width: int
) -> tuple[int, int, int]:
    """(left, top, side) in pixels of a square about a box x0 y0 x1 y1, `margin` times its longer side, inside
    the frame.
    """
    x0, y0, x1, y1 = (float(v) for v in box)
    side = min(max(1, round(max(x1 - x0, y1 - y0) * margin)), height, width)
    left, top = (round((a + b - side) / 2) for a, b in ((x0, x1), (y0, y1)))
    return min(max(left, 0), width - side), min(max(top, 0), height - side), side


class FrameCropper:
    """Crops faces by a registered detector. `every`: every picture; else only frames of videos as they were
    filmed.
    """

    def __init__(
        self,
        detector: str = "mtcnn",
        margin: float = 1.3,
        style: Literal["box", "aligned"] = "box",
        size: int = 256,
        min_score: float = MIN_SCORE,
        *,
        every: bool = False,
        device: str = "cpu",
    ) -> None:
        """
        Args:
            detector: of `fairforge list attribute-models`, family detection. margin: times the longer side of
                the box.
            style: `box` (the square) or `aligned` (the crop that FairForge's own datasets have, turned
                upright).
            size: side of an aligned crop, pixels. min_score: of a face, 0 to 1.

        Raises:
            UsageError: unknown detector or style, a margin out of `MARGINS`. MissingError: its package is not
                installed.
        """
        if style not in STYLES or not MARGINS[0] <= margin <= MARGINS[1]:
            fix = f"style {' or '.join(STYLES)}, margin {MARGINS[0]} to {MARGINS[1]}"
            raise UsageError(f"crop {style!r} with margin {margin}", "is not known", fix)
        from attribute_models.registry import ATTRIBUTE_MODELS

        if ATTRIBUTE_MODELS.get(detector).family != "detection":
            raise UsageError(
                f"face detector {detector!r}", "does not detect faces", "choose mtcnn, auto or none"
            )
        self.style, self.margin, self.size, self.min_score, self.every = style, margin, size, min_score, every
        weight = models.weight_of(detector, "detection").sha256
        self.key = (
            f"{detector} {weight} {style} {margin} {size if style == 'aligned' else ''} {min_score} {every}"
        )
        self._name, self._device = detector, device
        self._detector: Any = None
        self._video: str | None = None
        self._last: Box | None = None

    def __call__(self, image: Image, item: SourceImage) -> Image:
        """The face of uint8 [H, W, 3], square; the picture itself where it is no whole frame.

        Raises:
            DataError: no face.
        """
        if not (self.every or item.whole_frame):
            return image
        if item.video_id is None or item.video_id != self._video:
            self._video, self._last = item.video_id, None
        faces = [face for face in self._faces(image) if face.score >= self.min_score and drawable(face.five)]
        if not faces:
            raise DataError(item.key, "no face was found in the frame", "leave it out, or crop it by hand")
        face = self._followed(faces)
        self._last = face.box.astype(np.float64)
        if self.style == "aligned":
            return aligned_crop(image, face.five, self.size)
        left, top, side = square_about(face.box, self.margin, *image.shape[:2])
        return np.ascontiguousarray(image[top : top + side, left : left + side])

    def _faces(self, image: Image) -> list[DetectedFace]:
        from attribute_models import load_face_detector
        from attribute_models.detection.boxes import DetectedFace
        from attribute_models.registry import ATTRIBUTE_MODELS

        if self._detector is None:
            fields = ATTRIBUTE_MODELS.get(self._name).params.model_fields
            fitting = (
                {} if self.every else {name: value for name, value in WHOLE_FRAME.items() if name in fields}
            )
            self._detector = load_face_detector(self._name, device=self._device, **fitting)
        scale = LONGEST / max(image.shape[:2])
        if scale >= 1:
            found: list[DetectedFace] = self._detector.detect(image)
            return found
        size = tuple(max(1, round(side * scale)) for side in image.shape[1::-1])
        back = np.array([image.shape[1] / size[0], image.shape[0] / size[1]], np.float32)
        small = cv2.resize(image, size, interpolation=cv2.INTER_AREA)
        return [
            DetectedFace(face.box * np.tile(back, 2), face.score, face.five * back)
            for face in self._detector.detect(small)
        ]

    def _followed(self, faces: list[DetectedFace]) -> DetectedFace:
        """The face of the frame before, where there is one near it; else the largest."""

        def area(face: DetectedFace) -> float:
            return float((face.box[2] - face.box[0]) * (face.box[3] - face.box[1]))

        if self._last is not None:
            centre, side = (self._last[:2] + self._last[2:]) / 2, float(max(self._last[2:] - self._last[:2]))
            moved = [
                float(np.hypot(*((face.box[:2] + face.box[2:]) / 2 - centre))) / max(side, 1)
                for face in faces
            ]
            if min(moved) < NEAR:
                return faces[int(np.argmin(moved))]
        return max(faces, key=area)
