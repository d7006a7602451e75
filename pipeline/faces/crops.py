"""Where the faces of a picture are, and the crops that a detector sees: aligned as the training pictures are.

Training pictures are faces on the template of `attribute_models.detection.alignment` (eyes at a third of the
height, margin for hair and chin), so a photograph's faces are brought there. A picture that is such a crop
already is taken whole: resampling it once more would wash out the traces that a detector looks for.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from manifests.images import Image, resize

Faces = Literal["auto", "always", "never"]
MIN_SCORE = 0.9
MIN_SIDE = 8
SCALE_TOLERANCE = 1.15
SHIFT_TOLERANCE = 0.08
TILT_TOLERANCE = 8.0


@dataclass(frozen=True)
class FaceCrop:
    """One face. image: uint8 [S, S, 3]. box: x0, y0, x1, y1 in pixels of the picture, None where nothing was
    searched or found. score: the face detector's. whole: the crop is the whole picture.
    """

    image: Image
    box: tuple[float, float, float, float] | None
    score: float | None
    whole: bool


def _on_template(five: npt.NDArray[np.floating], side: int) -> bool:
    """Whether a face lies in a square picture as on the template: scale within 15 %, centre 8 % of the side,
    tilt 8 degrees.
    """
    from attribute_models.detection.alignment import apply, similarity

    matrix = similarity(five, side)
    scale = float(np.sqrt(abs(np.linalg.det(matrix[:, :2].astype(np.float64)))))
    centre = np.array([[side / 2, side / 2]])
    shift = float(np.abs(apply(centre, matrix) - centre).max()) / side
    tilt = abs(float(np.degrees(np.arctan2(matrix[1, 0], matrix[0, 0]))))
    return (
        1 / SCALE_TOLERANCE <= scale <= SCALE_TOLERANCE
        and shift <= SHIFT_TOLERANCE
        and tilt <= TILT_TOLERANCE
    )


def drawable(five: npt.NDArray[np.floating]) -> bool:
    """Whether the five points are finite and some pixels apart, so that a crop can be drawn."""
    return bool(np.isfinite(five).all()) and float(np.ptp(five, axis=0).max()) >= MIN_SIDE / 4


def aligned_crop(image: Image, five: npt.NDArray[np.floating], size: int) -> Image:
    """The aligned crop: uint8 [size, size, 3]; very large faces are drawn larger first, then scaled down."""
    from attribute_models.detection.alignment import align, similarity

    matrix = similarity(five, size).astype(np.float64)
    scale = float(np.sqrt(abs(np.linalg.det(matrix[:, :2]))))
    side = size if scale >= 1 / 8 else int(np.ceil(size / scale / 8))
    return resize(align(image, five, side), size)


class FaceCropper:
    """Finds and crops faces for a detector of `size` pixels.

    faces: `always` searches and aligns; `never` takes every picture whole; `auto` searches, but takes a
    square picture whole when its one face lies on the template, or when it has none and is at most twice
    `size` wide. search: a face detector (`attribute_models.load_face_detector`); not used where faces is
    `never`.
    """

    def __init__(self, search: Any, size: int, faces: Faces = "auto") -> None:
        self.search, self.size, self.faces = search, size, faces

    def crops(self, image: Image) -> list[FaceCrop]:
        """The faces of one picture, best score first; empty where there is none.

        Args:
            image: uint8 [H, W, 3] RGB.
        """
        if self.faces == "never":
            return [FaceCrop(resize(image, self.size), None, None, True)]
        found = [
            face for face in self.search.detect(image) if face.score >= MIN_SCORE and drawable(face.five)
        ]
        height, width = image.shape[:2]
        if self.faces == "auto" and height == width:
            if not found and width <= 2 * self.size:
                return [FaceCrop(resize(image, self.size), None, None, True)]
            if len(found) == 1 and _on_template(found[0].five, width):
                return [FaceCrop(resize(image, self.size), self._box(found[0]), float(found[0].score), True)]
        return [
            FaceCrop(aligned_crop(image, face.five, self.size), self._box(face), float(face.score), False)
            for face in found
        ]

    @staticmethod
    def _box(face: Any) -> tuple[float, float, float, float]:
        x0, y0, x1, y1 = (round(float(v), 2) for v in face.box)
        return x0, y0, x1, y1
