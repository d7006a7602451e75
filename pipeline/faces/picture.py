"""Read the face of a picture: detect it, place its landmarks, embed its identity. For fakes, and for any
photograph.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from manifests.errors import DataError
from manifests.records import Image, Points
from pipeline.engine import models
from pipeline.faces.landmark_batches import Ask

MIN_FACE = 24.0
"""Smallest width of a face in a photograph, pixels."""


@dataclass(frozen=True)
class ReadFace:
    """points: float32 [148, 2], pixels; embedding: float32 [D]; score: the detector's, 0 to 1."""

    points: Points
    embedding: npt.NDArray[np.float32]
    score: float


class IdentityReader:
    """The reader of faces and an identity model, by name; loaded once per process."""

    def __init__(
        self, detector: str, landmarker: str, identity: str, min_score: float, device: str = "cpu"
    ) -> None:
        self.reader = models.face_reader(detector, landmarker, min_score, device)
        self.identity = models.identity_model(identity, device)

    def fives(self, image: Image) -> list[tuple[npt.NDArray[np.float32], float]]:
        """Five points and score of every face, best score first."""
        return [(face.five, float(face.score)) for face in self.reader.faces(image)]

    def points(self, image: Image, five: npt.NDArray[np.float32]) -> Points:
        """The dense landmarks of the face with these five points: float32 [148, 2], pixels of the image."""
        points: Points = self.reader.place([self.reader.cut(image, five)])[0]
        return points

    def points_of(self, asks: Sequence[Ask]) -> list[Points]:
        """Landmarks of faces at about the place of others [148, 2]: no detector that could move the crop."""
        from manifests.mesh148 import five_of

        placed: list[Points] = self.reader.place(
            [self.reader.cut(image, five_of(points)) for image, points in asks]
        )
        return placed

    def embed(self, image: Image, points: Points) -> npt.NDArray[np.float32]:
        """Identity embedding: float32 [D]."""
        embedding: npt.NDArray[np.float32] = self.identity.embed(image, points)
        return embedding

    def only_face(self, image: Image, name: str) -> ReadFace:
        """The one face of a photograph.

        Raises:
            DataError: no face, more than one, or one too small; `reason` in its args is `no_face`,
                `two_faces` or `small_face`.
        """
        found = self.fives(image)
        if not found:
            raise NoFace(
                "no_face",
                name,
                "shows no face that the detector finds",
                "give a sharper or more frontal photograph",
            )
        if len(found) > 1:
            raise NoFace("two_faces", name, f"shows {len(found)} faces", "crop it to the face that is meant")
        five, score = found[0]
        points = self.points(image, five)
        across = float(np.ptp(points[:, 0]))
        if across < MIN_FACE:
            raise NoFace(
                "small_face", name, f"its face is {across:.0f} pixels wide", f"give at least {MIN_FACE:.0f}"
            )
        return ReadFace(points, self.embed(image, points), score)


class NoFace(DataError):
    """A photograph without one usable face; `reason` is `no_face`, `two_faces` or `small_face`."""

    def __init__(self, reason: str, what: str, why: str, fix: str) -> None:
        super().__init__(what, why, fix)
        self.args = (reason, what, why, fix)
        self.reason = reason
