"""`reenact-warp`: the target's face moved to the driver's pose and expression by a warp."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
from pydantic import Field

from generators.forgeries import blending, masks
from generators.forgeries.base import Forger, Layers, forgery
from generators.forgeries.checks import ForgeryError
from generators.forgeries.geometry import (
    Float,
    at_scale,
    backward_field,
    folded_share,
    frame,
    invert,
    similarity,
    supersampling,
    transform,
    triangulate,
    warp,
)
from generators.forgeries.shape_model import MEASURES, measure, shape_model
from manifests.mesh148 import GROUPS
from manifests.records import Face
from manifests.registry import Params

SHARES = {
    "yaw": 0.7,
    "pitch": 0.7,
    "mouth_open": 1.0,
    "mouth_width": 0.7,
    "corner_drop": 0.9,
    "right_brow": 0.7,
    "left_brow": 0.7,
    "right_eye": 0.7,
    "left_eye": 0.7,
}
"""How much of the difference of each measure is expression or pose; the rest is the two persons'
proportions.
"""
LIMITS = {
    "yaw": 1.0,
    "pitch": 1.5,
    "mouth_open": 2.5,
    "mouth_width": 1.5,
    "corner_drop": 2.0,
    "right_brow": 1.5,
    "left_brow": 1.5,
    "right_eye": 1.2,
    "left_eye": 1.2,
}
"""The largest change of each measure, in its standard deviations over many faces."""
TRACE = 0.1
"""Motion below this many pixels cannot be seen."""
DETAIL_RADIUS = 0.1
"""Over how much of the face, in face widths, detail is compared."""


class ReenactParams(Params):
    """Ranges are (low, high), drawn uniformly per sample.

    strength: how much of the driver's motion is taken. feather: width of the mask's soft edge, in face
    widths. min_motion: smallest root mean square motion of the inner points, in eye distances; a smaller one
    is amplified by up to `max_boost`, and refused where that is not enough. fill_mouth: take the inside of an
    opening mouth from the driver.
    """

    strength: tuple[float, float] = (0.8, 1.1)
    feather: tuple[float, float] = (0.05, 0.10)
    min_motion: float = Field(0.03, ge=0)
    max_boost: float = Field(3.0, ge=1)
    fill_mouth: bool = True


@forgery(
    "reenact-warp",
    family="reenact",
    uses="driver",
    params=ReenactParams,
    moves=MEASURES,
    paper=(
        "Expression transfer with a linear face model, after Thies et al., Face2Face, CVPR 2016; here in 2D"
    ),
)
class ReenactWarp(Forger):
    """Reenactment: the target's own face, warped to the driver's pose and expression."""

    def layers(self, target: Face, other: Face | None, rng: np.random.Generator) -> Layers:
        """The target's face in motion; see `Forger.layers`.

        Raises:
            ForgeryError: `no_motion`, where the driver looks just like the target.
        """
        assert other is not None
        assert target.landmarks is not None
        assert other.landmarks is not None
        height, width = target.image.shape[:2]
        points, drive = target.landmarks.astype(np.float32), other.landmarks.astype(np.float32)
        size = float(np.ptp(points[list(GROUPS["oval"])], axis=0).mean())
        drawn: dict[str, Any] = {
            "strength": round(float(rng.uniform(*self.params.strength)), 4),
            "feather": round(float(rng.uniform(*self.params.feather)), 4),
        }
        delta = self._motion(target, points, drive, drawn)
        new, ring = moved_points(points, delta, height, width)
        base = target.image.astype(np.float32)
        field, moving = _field(points, new, ring, height, width)
        foreground = warp(target.image, field, height, width)
        if self.params.fill_mouth:
            foreground, drawn["mouth_filled"] = fill_mouth(foreground, other, points, new)
        alpha = masks.soft_polygon(masks.hull(ring), drawn["feather"] * size, height, width)
        face = masks.fill(masks.hull(np.concatenate([points, new])), height, width)
        alpha = masks.away_from_edges(alpha * np.maximum(moving, face))
        return Layers(blending.match_detail(foreground, base, alpha, DETAIL_RADIUS * size), alpha, drawn)

    def _motion(
        self, target: Face, points: Float, drive: Float, drawn: dict[str, Any]
    ) -> npt.NDArray[np.float64]:
        """The change of each measure, limited, and amplified where it is too small to see."""
        model = shape_model()
        (ours, _), (theirs, _) = model.normalise(points), model.normalise(drive)
        difference = (measure(theirs) - measure(ours)) * np.array([SHARES[name] for name in MEASURES])
        limit = np.array([LIMITS[name] for name in MEASURES]) * model.spread
        opening = np.array([0.6 if name.endswith("eye") else 1.0 for name in MEASURES])
        delta = np.clip(difference * drawn["strength"], -limit, limit * opening)
        moved = np.tensordot(delta, model.modes, 1)
        inner = [i for i in range(len(moved)) if i not in GROUPS["oval"]]
        motion = float(np.sqrt((moved[inner] ** 2).sum(1).mean()))
        return amplified(delta, limit, motion, self.params, target, drawn)


def amplified(
    delta: npt.NDArray[np.float64],
    limit: npt.NDArray[np.float64],
    size: float,
    params: Any,
    target: Face,
    drawn: dict[str, Any],
) -> npt.NDArray[np.float64]:
    """The change of each measure, float64 [9], amplified where the motion is too small to see; `drawn` says
    what was done.

    Args:
        delta: the change, in units of the measures.
        limit: the largest change of each measure.
        size: root mean square motion of the inner points, in eye distances.
        params: of the forgery; it has `min_motion` and `max_boost`.
        target: the face that is moved; an error names it.
        drawn: gets `motion` and `boost`.

    Raises:
        ForgeryError: `no_motion`, where `max_boost` is not enough.
    """
    boost = max(1.0, params.min_motion / max(size, 1e-9))
    if boost > params.max_boost:
        raise ForgeryError(
            "no_motion",
            f"face {target.image_id!r}",
            "has its driver's pose and expression already",
            "choose another driver",
        )
    delta = np.clip(delta * boost, -limit, limit)
    drawn["motion"] = {name: round(float(d), 4) for name, d in zip(MEASURES, delta, strict=True)}
    drawn["boost"] = round(boost, 4)
    return delta


def moved_points(
    points: Float, delta: npt.NDArray[np.float64], height: int, width: int
) -> tuple[Float, Float]:
    """The target's points after its measures change by `delta` [9], and a ring about both shapes that stays
    still.

    The motion fades towards the picture's edges, and is halved until the warp folds nowhere.

    Returns:
        float32 [148, 2] and float32 [36, 2], pixels.
    """
    model = shape_model()
    shape, matrix = model.normalise(points)
    back = invert(matrix)
    for _ in range(6):
        new = transform(shape + np.tensordot(delta, model.modes, 1), back)
        room = np.minimum(np.minimum(points, new), (width, height) - np.maximum(points, new)).min(1)
        fade = np.clip(room / (0.06 * min(height, width)), 0, 1)[:, None]
        new = (points + (new - points) * fade).astype(np.float32)
        ring = _ring(points, new, height, width)
        still = np.concatenate([ring, frame(height, width, 2.0)])
        before, after = np.concatenate([points, still]), np.concatenate([new, still])
        if folded_share(before, triangulate(after), after) < 0.004:
            break
        delta = delta * 0.75
    return new, ring


def _ring(points: Float, new: Float, height: int, width: int) -> Float:
    oval = list(GROUPS["oval"])
    centre = points[oval].mean(0)
    before, after = points[oval] - centre, new[oval] - centre
    farther = np.maximum(np.hypot(*before.T), np.hypot(*after.T)) / np.maximum(np.hypot(*before.T), 1e-6)
    ring = centre + before * (1.16 * farther)[:, None]
    return np.clip(ring, 1, (width - 1, height - 1)).astype(np.float32)


def _field(points: Float, new: Float, ring: Float, height: int, width: int) -> tuple[Float, Float]:
    """The backward field of the motion, without creases, and where it moves by more than a trace: float32 [H,
    W].
    """
    still = np.concatenate([ring, frame(height, width, 2.0)])
    scale = supersampling(height, width)
    field = backward_field(
        np.concatenate([new, still]), np.concatenate([points, still]), height, width, scale
    )
    y, x = np.mgrid[: height * scale, : width * scale].astype(np.float32)
    here = (np.stack([x, y], -1) + 0.5) / scale
    motion = cv2.GaussianBlur(field - here, (0, 0), 0.008 * scale * max(height, width))
    length = cv2.resize(
        np.hypot(motion[..., 0], motion[..., 1]), (width, height), interpolation=cv2.INTER_AREA
    )
    moving = cv2.GaussianBlur((length > TRACE).astype(np.float32), (0, 0), 0.02 * max(height, width))
    return here + motion, np.clip(1.5 * moving - 0.25, 0, 1)


def fill_mouth(foreground: Float, driver: Face, points: Float, new: Float) -> tuple[Float, bool]:
    """Put the inside of the driver's mouth where the target's opens, in the target's light; and whether it
    was done.
    """
    assert driver.landmarks is not None
    model = shape_model()
    index = MEASURES.index("mouth_open")
    before, after, theirs = (
        float(measure(model.normalise(p)[0])[index])
        for p in (points, new, driver.landmarks.astype(np.float32))
    )
    if after < 0.05 or before > 0.6 * after or theirs < 0.6 * after:
        return foreground, False
    height, width = foreground.shape[:2]
    size = float(np.ptp(new[:, 0]))
    lips = list(GROUPS["lips_outer"] + GROUPS["lips_inner"])
    image, own = at_scale(driver.image, driver.landmarks.astype(np.float32), new)
    corners = frame(height, width, float(height + width))
    field = backward_field(
        np.concatenate([new[lips], corners]),
        np.concatenate([own[lips], transform(corners, similarity(new[lips], own[lips]))]),
        height,
        width,
        supersampling(height, width),
    )
    mouth = warp(image, field, height, width)
    inside = masks.fill(new[list(GROUPS["lips_inner"])], height, width)
    around = np.clip(masks.fill(masks.hull(new[lips]), height, width) - inside, 0, 1) + 1e-6
    mouth = blending.expose(mouth, foreground, around, around)
    alpha = cv2.GaussianBlur(inside, (0, 0), max(0.4, 0.008 * size))
    return (foreground + alpha[..., None] * (mouth - foreground)).astype(np.float32), True
