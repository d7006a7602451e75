"""Face detection: boxes, scores and the five points of every face in a picture."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt

from manifests.weights import Weight

Image = npt.NDArray[np.uint8]


@dataclass(frozen=True)
class DetectedFace:
    """One face. box: float32 [4], x0 y0 x1 y1; score: 0 to 1; five: float32 [5, 2], scheme `five`; all in
    pixels.
    """

    box: npt.NDArray[np.float32]
    score: float
    five: npt.NDArray[np.float32]


class FaceDetector(Protocol):
    """What a face detector offers. weight: what it is made of; its digest enters cache keys."""

    weight: Weight

    def detect(self, image: Image) -> list[DetectedFace]:
        """Faces of uint8 [H, W, 3] RGB, best score first."""
        ...
