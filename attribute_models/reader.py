"""The one reader of faces: finds them in a picture, cuts each out aligned, places landmarks, and maps these
back.

Stages, commands and the annotator build on it, so that a face is read alike wherever it is read. Detector,
landmarker and aligner are parameters.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple, Protocol

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    from attribute_models.detection.boxes import DetectedFace, FaceDetector
    from attribute_models.landmarks.mesh import Landmarker

Image = npt.NDArray[np.uint8]
Points = npt.NDArray[np.float32]
SIDE = 128
"""Side in pixels of the crop on which landmarks are placed."""
CLEAR_SCORE = 0.9
"""Least detection score of a face that counts, where nothing else is asked for."""


class Aligned(NamedTuple):
    """A face cut out. crop: uint8 [S, S, 3]. matrix: float32 [2, 3], from the picture's pixels to the
    crop's.
    """

    crop: Image
    matrix: npt.NDArray[np.float32]


class Aligner(Protocol):
    """Cuts a face out by its five points."""

    def __call__(self, image: Image, five: npt.NDArray[np.floating], side: int) -> Aligned:
        """The crop of `side` pixels and its matrix."""
        ...


def on_template(image: Image, five: npt.NDArray[np.floating], side: int) -> Aligned:
    """The crop whose eyes and mouth lie as the project's template says.

    Raises:
        UsageError: points that cannot be aligned.
    """
    from attribute_models.detection.alignment import align, similarity

    return Aligned(align(image, five, side), similarity(five, side))


class FaceReader:
    """Finds, aligns and places landmarks.

    Args:
        detector: finds faces; None where every picture is an aligned face already.
        landmarker: places landmarks on aligned crops; None where nobody asks for landmarks.
        min_score: faces of a lower detection score are not there.
        aligner: cuts a face out by its five points.
    """

    def __init__(
        self,
        detector: FaceDetector | None,
        landmarker: Landmarker | None,
        min_score: float = CLEAR_SCORE,
        aligner: Aligner = on_template,
    ) -> None:
        self.detector, self.landmarker, self.min_score, self.aligner = (
            detector,
            landmarker,
            min_score,
            aligner,
        )

    def all_faces(self, image: Image) -> list[DetectedFace]:
        """Every face by the detector's own thresholds, best score first. image: uint8 [H, W, 3] RGB."""
        assert self.detector is not None
        return self.detector.detect(image)

    def faces(self, image: Image) -> list[DetectedFace]:
        """The faces that count, best score first."""
        return [face for face in self.all_faces(image) if face.score >= self.min_score]

    def cut(self, image: Image, five: npt.NDArray[np.floating], side: int = SIDE) -> Aligned:
        """One face, aligned; errors as the aligner's."""
        return self.aligner(image, five, side)

    def landmarks(self, crops: npt.NDArray[np.uint8]) -> Points:
        """Landmarks of aligned crops, uint8 [N, S, S, 3]: float32 [N, K, 2], pixels of the crops."""
        assert self.landmarker is not None
        return self.landmarker.predict(crops)

    def place(self, faces: Sequence[Aligned]) -> list[Points]:
        """Landmarks of each face, float32 [K, 2], pixels of the picture that it was cut out of."""
        from attribute_models.detection.alignment import apply, invert

        if not faces:
            return []
        found = self.landmarks(np.stack([face.crop for face in faces]))
        return [apply(points, invert(face.matrix)) for points, face in zip(found, faces, strict=True)]
