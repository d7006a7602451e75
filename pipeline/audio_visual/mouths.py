"""Mouths of a clip: 32 px grey crops and lip points at 25 frames a second, on stable points of the face.

The face is searched every half second and whenever it was lost; in between it is followed by its own landmarks, which is some ten
times as fast. Crop and points are taken in a frame that eyes and nose hold still, so that only speech moves them.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from manifests.errors import DataError
from manifests.images import Image
from manifests.mesh148 import GROUPS, INDICES, five_of
from pipeline.face_crops import MIN_SCORE, drawable

SIDE = 32
"""Pixels of a mouth crop."""
FACE = 128
"""Pixels of the aligned face that landmarks are read in."""
EVERY = 12
"""Frames between two searches."""
LONGEST = 480
"""A frame is searched at this size of its longer side."""
LOST = 0.25
"""A face that moved by more than this share of its size between two frames is searched again."""
LIPS = [*GROUPS["lips_outer"], *GROUPS["lips_inner"]]
STABLE = [INDICES.index(i) for i in (33, 133, 263, 362, 168, 197, 195, 4, 2)]
"""Corners of the eyes and the ridge of the nose: speech does not move them."""
CENTRE, REACH = (0.5, 0.72), 0.22
"""Of a mouth crop, in units of the aligned face's side: its middle, and half its side."""
Points = npt.NDArray[np.float32]


@dataclass(frozen=True)
class Mouths:
    """mouths: uint8 [T, 32, 32]. lips: float32 [T, 40, 2] in units of the aligned face. found: share of frames with a face."""

    mouths: Image
    lips: Points
    found: float


class MouthReader:
    """Follows the face of a clip. search: a face detector; landmarker: of scheme `mesh148`."""

    def __init__(self, search: Any, landmarker: Any) -> None:
        self.search, self.landmarker = search, landmarker

    def read(self, frames: Iterable[Image], name: str = "clip") -> Mouths:
        """The mouths of all frames; those without a face repeat the one before.

        Args:
            frames: uint8 [H, W, 3] RGB. name: for errors.

        Raises:
            DataError: no face in the clip, or in less than half of its frames.
        """
        crops: list[Image | None] = []
        lips: list[Points | None] = []
        five: npt.NDArray[np.floating] | None = None
        for number, frame in enumerate(frames):
            if five is None or number % EVERY == 0:
                five = self._searched(frame, five)
            points = self._points(frame, five) if five is not None else None
            five = _followed(five, points)
            if points is None or five is None:
                crops.append(None)
                lips.append(None)
                continue
            crop, lip = _mouth(frame, points)
            crops.append(crop)
            lips.append(lip)
        seen = [k for k, crop in enumerate(crops) if crop is not None]
        if not crops or 2 * len(seen) < len(crops):
            raise DataError(name, f"has a face in {len(seen)} of {len(crops)} frames", "leave it out, or crop it to the face")
        nearest = [seen[int(np.argmin(np.abs(np.array(seen) - k)))] for k in range(len(crops))]
        images, marks = [crops[k] for k in nearest], [lips[k] for k in nearest]
        return Mouths(np.stack([one for one in images if one is not None]), np.stack([one for one in marks if one is not None]),
                      len(seen) / len(crops))

    def _searched(self, frame: Image, before: npt.NDArray[np.floating] | None) -> npt.NDArray[np.floating] | None:
        """The five points of the face that goes on from `before`, else of the largest; None where there is none."""
        scale = min(1.0, LONGEST / max(frame.shape[:2]))
        size = tuple(max(1, round(side * scale)) for side in frame.shape[1::-1])
        small = frame if scale == 1 else cv2.resize(frame, size, interpolation=cv2.INTER_AREA)
        found = [face for face in self.search.detect(small) if face.score >= MIN_SCORE and drawable(face.five)]
        if not found:
            return before
        back = np.array([frame.shape[1] / size[0], frame.shape[0] / size[1]], np.float32)
        if before is not None:
            chosen = min(found, key=lambda face: float(np.abs(face.five * back - before).mean()))
        else:
            chosen = max(found, key=lambda face: float((face.box[2] - face.box[0]) * (face.box[3] - face.box[1])))
        five: npt.NDArray[np.floating] = chosen.five * back
        return five

    def _points(self, frame: Image, five: npt.NDArray[np.floating]) -> Points:
        """Landmarks in pixels of the frame: float32 [148, 2]."""
        from attribute_models.alignment import align, apply, invert, similarity

        matrix = similarity(five, FACE)
        points: Points = apply(self.landmarker.predict(align(frame, five, FACE)[None])[0], invert(matrix))
        return points


def _followed(before: npt.NDArray[np.floating] | None, points: Points | None) -> npt.NDArray[np.floating] | None:
    """The five points for the next frame; None where the face was lost."""
    if before is None or points is None or not np.isfinite(points).all():
        return None
    five = five_of(points)
    size = float(np.ptp(before, axis=0).max())
    moved = float(np.abs(five - before).max())
    return five if drawable(five) and moved <= LOST * size + 2 else None


def _mouth(frame: Image, points: Points) -> tuple[Image, Points]:
    """The grey crop and the lip points of one frame, in the frame that stable points hold still."""
    from attribute_models.alignment import apply, fit_similarity, warp

    matrix = fit_similarity(points[STABLE], _still() * FACE)
    lips = apply(points[LIPS], matrix) / FACE
    scale = SIDE / (2 * REACH * FACE)
    shift = np.array([[1, 0, -(CENTRE[0] - REACH) * FACE], [0, 1, -(CENTRE[1] - REACH) * FACE], [0, 0, 1]])
    whole = np.diag([scale, scale, 1.0]) @ shift @ np.vstack([matrix, [0, 0, 1]])
    crop = warp(frame, whole[:2].astype(np.float32), SIDE, SIDE, "edge")
    grey: Image = cv2.cvtColor(crop, cv2.COLOR_RGB2GRAY).astype(np.uint8)
    return grey, lips.astype(np.float32)


def _still() -> Points:
    """Where the stable points lie in the aligned face, in units of its side: the mean of the embedded model's faces."""
    return np.array([
        [0.246, 0.318], [0.400, 0.322], [0.754, 0.318], [0.600, 0.322], [0.5, 0.318], [0.5, 0.402], [0.5, 0.452], [0.5, 0.525],
        [0.5, 0.590],
    ], np.float32)
