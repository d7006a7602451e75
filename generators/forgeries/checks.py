"""Can this face be forged, is this fake one? Each refusal is a `ForgeryError` with a short machine-readable
reason.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from manifests.errors import DataError
from manifests.mesh148 import GROUPS, INDICES
from manifests.records import Face, Image, Points

MIN_IMAGE = 32
"""Smallest side of an image, pixels."""
MIN_FACE = 16.0
"""Smallest width and height of a face, pixels."""
MIN_INSIDE = 0.6
"""Smallest share of the points that lie inside the picture."""
MIN_SLIMNESS = 0.25
"""Smallest ratio of the two principal axes of the points; a face has 0.6 to 1, a line 0."""
MIN_MASK = 0.002
"""Smallest share of the picture that a fake must change."""


class ForgeryError(DataError):
    """A face, or a pair of faces, that a forgery cannot use.

    `reason` is one of `image_too_small`, `no_landmarks`, `landmark_scheme`, `degenerate_landmarks`,
    `pose_gap`, `no_motion`, `empty_mask`, `no_change`, `no_latent`, `other_generator`, `latent_mismatch`:
    what a row with a reason holds.
    """

    def __init__(self, reason: str, what: str, why: str, fix: str) -> None:
        super().__init__(what, why, fix)
        self.args = (reason, what, why, fix)
        self.reason = reason


def check_face(face: Face, schemes: tuple[str, ...]) -> None:
    """Raise unless `face` has usable landmarks of one of `schemes`.

    Raises:
        ForgeryError: `image_too_small`, `no_landmarks`, `landmark_scheme` or `degenerate_landmarks`.
    """
    what = f"face {face.image_id!r}"
    height, width = face.image.shape[:2]
    if min(height, width) < MIN_IMAGE:
        raise ForgeryError(
            "image_too_small",
            what,
            f"is {width} x {height} pixels",
            f"give at least {MIN_IMAGE} x {MIN_IMAGE}",
        )
    if face.landmarks is None:
        raise ForgeryError("no_landmarks", what, "has no landmarks", "run the landmarker on it first")
    if face.landmark_scheme not in schemes:
        raise ForgeryError(
            "landmark_scheme",
            what,
            f"has landmarks of scheme {face.landmark_scheme!r}",
            f"give landmarks of scheme {' or '.join(schemes)}",
        )
    fault = _fault(face.landmarks, height, width)
    if fault:
        raise ForgeryError("degenerate_landmarks", what, f"its landmarks {fault}", "leave this face out")


def _fault(points: Points, height: int, width: int) -> str | None:
    if points.shape != (len(INDICES), 2):
        return f"are {list(points.shape)}, not [{len(INDICES)}, 2]"
    if not np.isfinite(points).all():
        return "are not finite"
    inside = ((points >= 0) & (points <= (width, height))).all(1).mean()
    if inside < MIN_INSIDE:
        return f"lie outside the image ({inside:.0%} inside)"
    if np.ptp(points, axis=0).min() < MIN_FACE:
        return f"span less than {MIN_FACE:g} pixels"
    axes = np.linalg.svd((points - points.mean(0)).astype(np.float64), compute_uv=False)
    if axes[1] < MIN_SLIMNESS * axes[0]:
        return "lie on a line"
    if len(np.unique(points.round(2), axis=0)) < len(INDICES) // 2:
        return "fall together"
    if signed_area(points[list(GROUPS["oval"])]) <= 0:
        return "are mirrored or out of order (the face oval does not run clockwise)"
    return None


def signed_area(polygon: npt.NDArray[np.floating]) -> float:
    """Area of a closed polygon [N, 2] by the shoelace formula, pixels squared; positive if clockwise on the
    screen.
    """
    x, y = polygon.astype(np.float64).T
    return float(0.5 * np.sum(x * np.roll(y, -1) - np.roll(x, -1) * y))


def check_layers(target: Face, image: Image, mask: Image) -> None:
    """Raise unless the fake differs from the target and its mask covers something.

    Raises:
        ForgeryError: `empty_mask` or `no_change`.
    """
    what = f"forgery of {target.image_id!r}"
    if np.count_nonzero(mask) < MIN_MASK * mask.size:
        raise ForgeryError("empty_mask", what, "its mask covers nothing", "leave this face out")
    if np.array_equal(image, target.image):
        raise ForgeryError("no_change", what, "equals its target", "choose another second face")
