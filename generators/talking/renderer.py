"""A picture of a face that speaks: warped frame by frame, with the inside of the mouth drawn between the
lips.
"""

from __future__ import annotations

from collections.abc import Iterator

import cv2
import numpy as np
import numpy.typing as npt

from generators.forgeries import masks
from generators.forgeries.base import one_thread
from generators.forgeries.checks import check_face
from generators.forgeries.geometry import (
    Float,
    Triangles,
    backward_field,
    doubled_areas,
    frame,
    invert,
    supersampling,
    transform,
    triangulate,
    warp,
)
from generators.forgeries.shape_model import shape_model
from generators.talking.face_shape import LOWER_INNER, UPPER_INNER, FaceShape, Posed, Style
from generators.talking.inner_mouth import MouthColours, colours_of, draw_mouth
from manifests.mesh148 import GROUPS
from manifests.records import Face, Image

OVAL = list(GROUPS["oval"])
RINGS = ((1.13, 0.75), (1.4, 0.3))
"""Rings about the face, by their size in ovals, and how much of its motion they make."""
INTO_LIPS = 0.014
"""By how much the lips of an open mouth are taken to begin further out, eye distances: landmarks lie on teeth
now and then."""
LEAST_AREA = 0.05
"""Twice the area of a triangle, pixels squared, that still counts."""
MEDIAN = 5
"""Side of the median over the motion, samples."""
SMOOTH = 0.008
"""Sigma of the blur of the motion, in sides of the picture: without it the warp has creases."""


class TalkingFace:
    """One face, ready to speak. Frames are uint8 [H, W, 3], the picture's own size."""

    def __init__(self, face: Face, style: Style | None = None) -> None:
        """Prepare a face.

        Args:
            face: with its landmarks (`mesh148`, pixels), eyes open, looking about straight ahead.
            style: how it speaks.

        Raises:
            ForgeryError: its landmarks cannot be used.
        """
        check_face(face, ("mesh148",))
        assert face.landmarks is not None
        self.image = face.image
        self.height, self.width = face.image.shape[:2]
        self.points = face.landmarks.astype(np.float32)
        shape, self.matrix = shape_model().normalise(self.points)
        self.back = invert(self.matrix)
        self.shape = FaceShape(shape, style or Style())
        self.origin = transform(self._from(), self.back)
        self.still = frame(self.height, self.width, 2.0)
        self.start = np.concatenate([self.origin, *self._rings(self.origin), self.still])
        neutral = np.zeros(7)
        opened = self._placed(self.shape.posed(np.array([0.5, 0, 0, 0, 0, 0, 0]), neutral), neutral)[0]
        self.triangles = triangulate(opened)
        self.colours = self._colours()

    def _from(self) -> npt.NDArray[np.float64]:
        """Where the warp takes each point from, canonical."""
        shape = self.shape.rest.copy()
        out = INTO_LIPS * np.clip(self.shape.still_gap / 0.04, 0, 1)
        shape[UPPER_INNER, 1] -= out
        shape[LOWER_INNER, 1] += out
        return shape

    def _rings(self, points: Float) -> list[Float]:
        oval = points[OVAL]
        centre = self.origin[OVAL].mean(0)
        base = self.origin[OVAL]
        return [
            (centre + (base - centre) * np.float32(size) + share * (oval - base)).astype(np.float32)
            for size, share in RINGS
        ]

    def _head(self, head: npt.NDArray[np.floating]) -> npt.NDArray[np.float64]:
        """From the canonical frame to pixels, with the roll and the shifts of the head: float64 [2, 3]."""
        pivot = np.array([0.0, 1.9])
        c, s = np.cos(float(head[2])), np.sin(float(head[2]))
        turn = np.array([[c, -s], [s, c]])
        shift = pivot - turn @ pivot + np.array([float(head[3]), float(head[4])])
        linear = self.back[:, :2] @ turn
        return np.column_stack([linear, self.back[:, :2] @ shift + self.back[:, 2]])

    def _placed(self, posed: Posed, head: npt.NDArray[np.floating]) -> tuple[Float, npt.NDArray[np.float64]]:
        """All points of the warp in pixels, and the matrix that placed the face's."""
        matrix = self._head(head)
        new = transform(posed.points, matrix)
        room = np.minimum(
            np.minimum(self.origin, new), (self.width, self.height) - np.maximum(self.origin, new)
        ).min(1)
        fade = np.clip(room / (0.05 * min(self.height, self.width)), 0, 1)[:, None]
        new = (self.origin + (new - self.origin) * fade).astype(np.float32)
        return np.concatenate([new, *self._rings(new), self.still]), matrix

    def _colours(self) -> MouthColours:
        lips = masks.fill(masks.hull(self.points[list(GROUPS["lips_outer"])]), self.height, self.width)
        inner = masks.fill(masks.hull(self.points[list(GROUPS["lips_inner"])]), self.height, self.width)
        face = masks.fill(masks.face_region(self.points, 0.0, 0.75), self.height, self.width)
        features = masks.features_mask(self.points, self.height, self.width)
        picture = self.image.astype(np.float32)

        def mean(weights: Float) -> Float:
            return (picture * weights[..., None]).sum((0, 1)) / max(float(weights.sum()), 1e-3)

        return colours_of(mean(face * (1 - features)), mean(np.clip(lips - inner, 0, 1) + 1e-4 * lips))

    def frame(self, control: npt.NDArray[np.floating], head: npt.NDArray[np.floating]) -> Image:
        """One frame; see `FaceShape.posed`."""
        posed = self.shape.posed(control, head)
        placed, matrix = self._placed(posed, head)
        height, width, scale = self.height, self.width, supersampling(self.height, self.width)
        field = backward_field(placed, self.start, height, width, scale, _upright(placed, self.triangles))
        y, x = np.mgrid[: height * scale, : width * scale].astype(np.float32)
        here = (np.stack([x, y], -1) + np.float32(0.5)) / np.float32(scale)
        motion = cv2.GaussianBlur(
            cv2.medianBlur(field - here, MEDIAN), (0, 0), SMOOTH * scale * max(height, width)
        )
        picture = draw_mouth(warp(self.image, here + motion, height, width), posed, self.colours, matrix)
        return np.clip(np.rint(picture), 0, 255).astype(np.uint8)

    def landmarks(self, control: npt.NDArray[np.floating], head: npt.NDArray[np.floating]) -> Float:
        """Where the landmarks are in that frame: float32 [148, 2], pixels."""
        return self._placed(self.shape.posed(control, head), head)[0][: len(self.points)]

    def frames(self, controls: npt.NDArray[np.floating], head: npt.NDArray[np.floating]) -> Iterator[Image]:
        """All frames, one at a time: [T, 7] each."""
        for control, pose in zip(controls, head, strict=True):
            with one_thread():
                out = self.frame(control, pose)
            yield out


def _upright(placed: Float, triangles: Triangles) -> Triangles:
    """The triangles that are not turned over, nor so thin that they say nothing, the largest first.

    Where lips fold over each other a pixel may be in none; it goes with the first, and a median mends it.
    """
    areas = doubled_areas(placed, triangles)
    kept = areas > LEAST_AREA
    return triangles[kept][np.argsort(-areas[kept], kind="stable")]
