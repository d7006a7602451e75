"""`reenact-tps`: the driver's motion relative to its own neutral, brought to the target by a thin-plate
spline.
"""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
from pydantic import Field

from generators.forgeries import blending, masks
from generators.forgeries.base import Forger, Layers, forgery
from generators.forgeries.geometry import Float, frame, invert, supersampling, transform, warp
from generators.forgeries.reenact_warp import LIMITS, SHARES, amplified, fill_mouth
from generators.forgeries.shape_model import MEASURES, measure, shape_model
from generators.forgeries.thin_plate import displacement, folds
from manifests.mesh148 import GROUPS, MIRROR
from manifests.records import Face
from manifests.registry import Params

OVAL = list(GROUPS["oval"])
INNER = [i for i in range(len(MIRROR)) if i not in GROUPS["oval"]]
LOPSIDED = list(GROUPS["lips_outer"] + GROUPS["lips_inner"] + GROUPS["right_brow"] + GROUPS["left_brow"])
"""Points whose asymmetry is expression: a one-sided smile, a raised brow."""
ASYMMETRY_LIMIT = 0.025
"""Largest asymmetric motion of a point, in eye distances."""
RING = 1.3
"""Scale of the still ring about the face oval."""
TRACE = 0.1
"""Motion below this many pixels cannot be seen."""
DETAIL_RADIUS = 0.1
"""Over how much of the face, in face widths, detail is compared."""


class ReenactTpsParams(Params):
    """Ranges are (low, high), drawn uniformly per sample.

    strength: how much of the driver's motion is taken. asymmetry: how much of its one-sided part. smoothing:
    of the spline; 0 meets every landmark. feather: width of the mask's soft edge, in face widths. min_motion:
    smallest root mean square motion of the inner points, in eye distances; a smaller one is amplified by up
    to `max_boost`, and refused where that is not enough. fill_mouth: take the inside of an opening mouth from
    the driver.
    """

    strength: tuple[float, float] = (0.9, 1.2)
    asymmetry: tuple[float, float] = (0.2, 0.6)
    smoothing: tuple[float, float] = (1e-6, 1e-5)
    feather: tuple[float, float] = (0.08, 0.16)
    min_motion: float = Field(0.03, ge=0)
    max_boost: float = Field(2.5, ge=1)
    fill_mouth: bool = True


@forgery(
    "reenact-tps",
    family="reenact",
    uses="driver",
    params=ReenactTpsParams,
    moves=MEASURES,
    partner="moving",
    paper=(
        "Bookstein, Principal warps: thin-plate splines, PAMI 1989; motion relative to the neutral after"
        " Thies et al., Face2Face, CVPR 2016; here in 2D"
    ),
)
class ReenactTps(Forger):
    """Reenactment: the target's own face, bent smoothly by the driver's motion relative to its neutral
    face.
    """

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
        size = float(np.ptp(points[OVAL], axis=0).mean())
        drawn = {
            name: round(float(rng.uniform(*getattr(self.params, name))), 7)
            for name in ("strength", "asymmetry", "smoothing", "feather")
        }
        motion = self._motion(target, points, drive, drawn)
        new, shift = bend(points, motion, height, width, drawn["smoothing"])
        base = target.image.astype(np.float32)
        foreground = warp(target.image, _field(shift, height, width), height, width)
        if self.params.fill_mouth:
            foreground, drawn["mouth_filled"] = fill_mouth(foreground, other, points, new)
        alpha = self._mask(points, new, shift, drawn["feather"] * size)
        return Layers(blending.match_detail(foreground, base, alpha, DETAIL_RADIUS * size), alpha, drawn)

    def _motion(
        self, target: Face, points: Float, drive: Float, drawn: dict[str, Any]
    ) -> npt.NDArray[np.float64]:
        """The motion of each point in the canonical frame: float64 [148, 2]; amplified where it is too small
        to see.
        """
        model = shape_model()
        ours, theirs = (model.normalise(p)[0] for p in (points, drive))
        shares = np.array([SHARES[name] for name in MEASURES])
        limit = np.array([LIMITS[name] for name in MEASURES]) * model.spread
        delta = np.clip((measure(theirs) - measure(ours)) * shares * drawn["strength"], -limit, limit)
        lopsided = drawn["asymmetry"] * (asymmetry(theirs) - asymmetry(ours))
        lopsided = np.clip(lopsided, -ASYMMETRY_LIMIT, ASYMMETRY_LIMIT)
        motion = np.tensordot(delta, model.modes, 1) + lopsided
        size = float(np.sqrt((motion[INNER] ** 2).sum(1).mean()))
        delta = amplified(delta, limit, size, self.params, target, drawn)
        return np.asarray(np.tensordot(delta, model.modes, 1) + lopsided)

    def _mask(self, points: Float, new: Float, shift: Float, feather: float) -> Float:
        """The face before and after and what moves about it, soft at its edge."""
        height, width = shift.shape[:2]
        both = np.concatenate([points, new])
        centre = points[OVAL].mean(0)
        outer = masks.hull(centre + (both - centre) * np.float32(0.5 + RING / 2))
        alpha = masks.soft_polygon(outer, feather, height, width)
        moving = (np.hypot(shift[..., 0], shift[..., 1]) > TRACE).astype(np.float32)
        moving = cv2.GaussianBlur(moving, (0, 0), 0.02 * max(height, width))
        face = masks.fill(masks.hull(both), height, width)
        return masks.away_from_edges(alpha * np.maximum(np.clip(1.5 * moving - 0.25, 0, 1), face))


def asymmetry(shape: npt.NDArray[np.floating]) -> npt.NDArray[np.float64]:
    """The part of a canonical shape [148, 2] that its mirror image does not share, apart from what the
    measures explain.

    A person's proportions are nearly symmetric, so this part is motion: the neutral face has none.
    """
    model = shape_model()
    residual = np.asarray(shape, np.float64) - model.mean
    residual = residual - np.tensordot(measure(shape) - measure(model.mean), model.modes, 1)
    mirrored = residual[MIRROR] * np.array([-1.0, 1.0])
    out = np.zeros_like(residual)
    out[LOPSIDED] = ((residual - mirrored) / 2)[LOPSIDED]
    return out


def bend(
    points: Float, motion: npt.NDArray[np.float64], height: int, width: int, smoothing: float
) -> tuple[Float, Float]:
    """Move the points by `motion` (canonical frame) and bend the picture after them; weakened until nothing
    folds.

    Returns:
        float32 [148, 2], the new points; float32 [H, W, 2], where each pixel comes from, less where it is.
    """
    shape, matrix = shape_model().normalise(points)
    back = invert(matrix)
    centre = points[OVAL].mean(0)
    for _ in range(6):
        new = transform(shape + motion, back)
        room = np.minimum(np.minimum(points, new), (width, height) - np.maximum(points, new)).min(1)
        fade = np.clip(room / (0.06 * min(height, width)), 0, 1)[:, None]
        new = (points + (new - points) * fade).astype(np.float32)
        still = np.concatenate(
            [centre + (points[OVAL] - centre) * np.float32(RING), frame(height, width, 2.0)]
        )
        shift = displacement(
            np.concatenate([new, still]),
            np.concatenate([points, still]),
            height,
            width,
            smoothing,
        )
        if folds(shift) == 0:
            break
        motion = motion * 0.75
    return new, shift


def _field(shift: Float, height: int, width: int) -> Float:
    """`shift` as the backward field that `geometry.warp` samples: float32 [H * s, W * s, 2]."""
    scale = supersampling(height, width)
    fine = cv2.resize(shift, (width * scale, height * scale), interpolation=cv2.INTER_CUBIC)
    y, x = np.mgrid[: height * scale, : width * scale].astype(np.float32)
    return (np.stack([x, y], -1) + np.float32(0.5)) / np.float32(scale) + fine
