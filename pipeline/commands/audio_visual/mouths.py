"""Mouths of a clip: 32 px grey crops and lip points at 25 frames a second, on stable points of the face.

The face is searched in the first and last of 16 frames and whenever it was lost; in between its own landmarks
follow it, 16 frames in one call of the network. Crop and points are taken in a frame that eyes and nose hold
still, so that only speech moves them.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from manifests.errors import DataError
from manifests.images import Image
from manifests.mesh148 import GROUPS, INDICES, five_of
from pipeline.faces.crops import MIN_SCORE, drawable

SIDE = 32
"""Pixels of a mouth crop."""
FACE = 128
"""Pixels of the aligned face that landmarks are read in."""
EVERY = 16
"""Frames from one search to the next: as many as the landmark network reads in one call."""
LONGEST = 480
"""A frame is searched at this size of its longer side."""
FAR, LOST = 0.75, 0.25
"""A face that is further than the first share of its size from where it was last found, or where two readings
of its landmarks differ by more than the second, is searched again.
"""
LIPS = [*GROUPS["lips_outer"], *GROUPS["lips_inner"]]
STABLE = [INDICES.index(i) for i in (33, 133, 263, 362, 168, 197, 195, 4, 2)]
"""Corners of the eyes and the ridge of the nose: speech does not move them."""
CENTRE, REACH = (0.5, 0.72), 0.22
"""Of a mouth crop, in units of the aligned face's side: its middle, and half its side."""
Points = npt.NDArray[np.float32]
Five = npt.NDArray[np.floating[Any]]
"""Eyes, nose and corners of the mouth: [5, 2], pixels of the frame."""


@dataclass(frozen=True)
class Mouths:
    """mouths: uint8 [T, 32, 32]. lips: float32 [T, 40, 2] in units of the aligned face. found: share of
    frames with a face.
    """

    mouths: Image
    lips: Points
    found: float


class MouthReader:
    """Follows the face of a clip. search: a face detector; landmarker: of scheme `mesh148`."""

    def __init__(self, search: Any, landmarker: Any) -> None:
        self.search, self.landmarker = search, landmarker

    def read(self, frames: Iterable[Image], name: str = "clip") -> Mouths:
        """The mouths of all frames; those without a face repeat the one nearest in time.

        Args:
            frames: uint8 [H, W, 3] RGB. name: for errors.

        Raises:
            DataError: no face in the clip, or in less than half of its frames.
        """
        found: list[tuple[Image, Points] | None] = []
        five: Five | None = None
        stream = iter(frames)
        while group := list(islice(stream, EVERY)):
            points = self._group(group, five)
            found += [
                _mouth(frame, one) if one is not None else None
                for frame, one in zip(group, points, strict=True)
            ]
            five = next((five_of(one) for one in reversed(points) if one is not None), None)
        seen = [k for k, one in enumerate(found) if one is not None]
        if not found or 2 * len(seen) < len(found):
            raise DataError(
                name,
                f"has a face in {len(seen)} of {len(found)} frames",
                "leave it out, or crop it to the face",
            )
        at = np.array(seen)
        known = [
            one for k in range(len(found)) if (one := found[seen[int(np.abs(at - k).argmin())]]) is not None
        ]
        return Mouths(
            np.stack([crop for crop, _ in known]),
            np.stack([lips for _, lips in known]),
            len(seen) / len(found),
        )

    def _group(self, group: Sequence[Image], before: Five | None) -> list[Points | None]:
        """Landmarks of some frames in a row; None for those without a face.

        The face is searched in the first frame, or the first one that shows it, and in the last one, or the
        last one that shows it. Landmarks are read from where it was found, then once more from where they
        themselves say that the face is.
        """
        out: list[Points | None] = [None] * len(group)
        start, five = 0, None
        while start < len(group) and five is None:
            five = self._searched(group[start], before)
            start += five is None
        if five is None:
            return out
        shown = range(start, len(group))
        places = {
            k: at
            for k, points in zip(shown, self._points(group[start:], [five] * len(shown)), strict=True)
            if (at := _followed(five, points, FAR)) is not None
        }
        again = self._points([group[k] for k in places], list(places.values()))
        for (k, at), points in zip(places.items(), again, strict=True):
            out[k] = points if _followed(at, points, LOST) is not None else None
        for k in shown:
            if out[k] is None and (at := self._searched(group[k], five)) is not None:
                points = self._points([group[k]], [at])[0]
                out[k] = points if _followed(at, points, LOST) is not None else None
        for k in reversed(shown):  # a landmark network sees a face in anything: the search has the last word
            points_k = out[k]
            if points_k is not None and self._searched(group[k], five_of(points_k)) is not None:
                break
            out[k] = None
        return out

    def _searched(self, frame: Image, before: Five | None) -> Five | None:
        """The five points of the face that goes on from `before`, else of the largest; None where there is
        none.
        """
        scale = min(1.0, LONGEST / max(frame.shape[:2]))
        size = tuple(max(1, round(side * scale)) for side in frame.shape[1::-1])
        small = frame if scale == 1 else cv2.resize(frame, size, interpolation=cv2.INTER_AREA)
        back = np.array([frame.shape[1] / size[0], frame.shape[0] / size[1]], np.float32)
        found = [face for face in self.search.detect(small) if drawable(face.five)]
        if before is not None and found:  # where a face was, a less certain one is the same
            near = min(found, key=lambda face: float(np.abs(face.five * back - before).max()))
            five: Five = near.five * back
            if np.abs(five - before).max() <= FAR * np.ptp(before, axis=0).max():
                return five
        sure = [face for face in found if face.score >= MIN_SCORE]
        if not sure:
            return None
        largest: Five = (
            max(sure, key=lambda face: float((face.box[2] - face.box[0]) * (face.box[3] - face.box[1]))).five
            * back
        )
        return largest

    def _points(self, frames: Sequence[Image], places: Sequence[Five]) -> list[Points]:
        """Landmarks in pixels of each frame, read from where its face is: float32 [148, 2] each."""
        from attribute_models.detection.alignment import align, apply, invert, similarity

        if not frames:
            return []
        aligned = np.stack([align(frame, five, FACE) for frame, five in zip(frames, places, strict=True)])
        read = self.landmarker.predict(aligned)
        return [
            apply(points, invert(similarity(five, FACE))) for points, five in zip(read, places, strict=True)
        ]


def _followed(before: Five, points: Points, share: float) -> Five | None:
    """The five points that landmarks give; None where they are no face, or moved by more than a share of its
    size.
    """
    if not np.isfinite(points).all():
        return None
    five: Five = five_of(points)
    moved = float(np.abs(five - before).max())
    return five if drawable(five) and moved <= share * float(np.ptp(before, axis=0).max()) + 2 else None


def _mouth(frame: Image, points: Points) -> tuple[Image, Points]:
    """The grey crop and the lip points of one frame, in the frame that stable points hold still."""
    from attribute_models.detection.alignment import apply, fit_similarity, warp

    matrix = fit_similarity(points[STABLE], _still() * FACE)
    lips = apply(points[LIPS], matrix) / FACE
    scale = SIDE / (2 * REACH * FACE)
    shift = np.array([[1, 0, -(CENTRE[0] - REACH) * FACE], [0, 1, -(CENTRE[1] - REACH) * FACE], [0, 0, 1]])
    whole = np.diag([scale, scale, 1.0]) @ shift @ np.vstack([matrix, [0, 0, 1]])
    crop = warp(frame, whole[:2].astype(np.float32), SIDE, SIDE, "edge")
    grey: Image = cv2.cvtColor(crop, cv2.COLOR_RGB2GRAY).astype(np.uint8)
    return grey, lips.astype(np.float32)


def _still() -> Points:
    """Where the stable points lie in the aligned face, in units of its side: the mean of the embedded model's
    faces.
    """
    return np.array(
        [
            [0.246, 0.318],
            [0.400, 0.322],
            [0.754, 0.318],
            [0.600, 0.322],
            [0.5, 0.318],
            [0.5, 0.402],
            [0.5, 0.452],
            [0.5, 0.525],
            [0.5, 0.590],
        ],
        np.float32,
    )
