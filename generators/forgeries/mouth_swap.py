"""`mouth-swap`: the driver's mouth in the target's face: what lip-synchronised fakes change."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
from pydantic import Field

from generators.forgeries import blending, masks, second_face
from generators.forgeries.base import Forger, Layers, forgery
from generators.forgeries.checks import ForgeryError
from generators.forgeries.geometry import (
    Float,
    at_scale,
    backward_field,
    folded_share,
    frame,
    similarity,
    supersampling,
    transform,
    triangulate,
    warp,
)
from generators.forgeries.reenact_warp import SHARES
from generators.forgeries.shape_model import MEASURES, at, measure, shape_model
from manifests.mesh148 import GROUPS
from manifests.records import Face, Image
from manifests.registry import Params

LIPS = list(GROUPS["lips_outer"] + GROUPS["lips_inner"])
ANCHORS = at(2, 97, 98, 326, 327, 58, 172, 136, 150, 149, 176, 148, 152, 377, 400, 378, 379, 365, 397, 288)
"""The base of the nose and the jaw: around the mouth, and where the target keeps its own shape."""
DETAIL_RADIUS = 0.1
"""Over how much of the face, in face widths, detail is compared."""
MOUTH = ("mouth_open", "mouth_width", "corner_drop")
"""The measures that the lips decide."""


class MouthSwapParams(Params):
    """Ranges are (low, high), drawn uniformly per sample; choices are drawn with equal chance.

    expression: how much of the way from the target's mouth shape to the driver's is gone; above 1 beyond it.
    reach: width of the region around the lips, in mouth widths. feather: width of its soft edge, in face
    widths. relight: how much of the target's shading it takes. max_yaw_gap: largest difference of the two
    faces' nose offsets, in eye distances. max_mouth_gap: largest difference of the mouths' openings, in eye
    distances. min_change: smallest root mean square change of the lips, in eye distances; a smaller one is
    amplified by up to `max_boost`, and refused where that is not enough.
    """

    expression: tuple[float, float] = (1.0, 1.3)
    reach: tuple[float, float] = (0.22, 0.36)
    feather: tuple[float, float] = (0.05, 0.09)
    relight: tuple[float, float] = (0.4, 0.8)
    colours: tuple[second_face.Colour, ...] = Field(("reinhard", "covariance"), min_length=1)
    max_yaw_gap: float = Field(0.2, gt=0)
    max_mouth_gap: float = Field(0.3, gt=0)
    min_change: float = Field(0.03, ge=0)
    max_boost: float = Field(2.0, ge=1)


@forgery(
    "mouth-swap",
    family="reenact",
    uses="driver",
    params=MouthSwapParams,
    moves=MOUTH,
    partner="moving",
    paper=(
        "After the mouth-region compositing of Suwajanakorn et al., Synthesizing Obama, SIGGRAPH 2017; here"
        " 2D, ours"
    ),
)
class MouthSwap(Forger):
    """Mouth replaced: the driver's lips and teeth, in the driver's shape, warped into the target and
    feathered.
    """

    def layers(self, target: Face, other: Face | None, rng: np.random.Generator) -> Layers:
        """The driver's mouth in the target's place, size, tilt and colours; see `Forger.layers`.

        Raises:
            ForgeryError: `pose_gap`, where the faces look in too different directions or one mouth is far
                more open; `no_motion`, where both mouths have the same shape.
        """
        assert other is not None
        drawn = self._draw(rng)
        height, width = target.image.shape[:2]
        points, size, base, image, own, drawn["mirrored"] = second_face.facing_target(target, other)
        yaw, mouth = np.subtract(second_face.pose(own), second_face.pose(points))
        if abs(yaw) > self.params.max_yaw_gap or abs(mouth) > self.params.max_mouth_gap:
            raise second_face.pose_gap(other, yaw, mouth)
        new = self._moved(target, own, points, drawn)
        source = warped_mouth(image, own, new, height, width)
        region = mouth_region(points, new, drawn["reach"])
        alpha = masks.away_from_edges(masks.soft_polygon(region, drawn["feather"] * size, height, width))
        source = second_face.recoloured(source, base, new, alpha, drawn["colour"], drawn["relight"])
        return Layers(
            blending.match_detail(source, base, alpha, DETAIL_RADIUS * size, high=2.5), alpha, drawn
        )

    def _moved(self, target: Face, own: Float, points: Float, drawn: dict[str, Any]) -> Float:
        """The target's points with the lips moved, far enough to see it."""
        new = mouth_of(own, points, drawn["expression"])
        boost = max(1.0, self.params.min_change / max(change_of(points, new), 1e-9))
        if boost > self.params.max_boost:
            raise ForgeryError(
                "no_motion",
                f"face {target.image_id!r}",
                "has its driver's mouth already",
                "choose another driver",
            )
        if boost > 1:
            new = mouth_of(own, points, drawn["expression"] * boost)
        model = shape_model()
        moved = measure(model.normalise(new)[0]) - measure(model.normalise(points)[0])
        drawn["motion"] = {
            name: round(float(moved[i]), 4) if name in MOUTH else 0.0 for i, name in enumerate(MEASURES)
        }
        drawn["boost"] = round(boost, 4)
        return new

    def _draw(self, rng: np.random.Generator) -> dict[str, Any]:
        p = self.params
        drawn: dict[str, Any] = {
            name: round(float(rng.uniform(*getattr(p, name))), 4)
            for name in ("expression", "reach", "feather", "relight")
        }
        drawn["colour"] = p.colours[int(rng.integers(len(p.colours)))]
        return drawn


def change_of(points: Float, new: Float) -> float:
    """How far the lips moved, root mean square in eye distances: both float32 [148, 2]."""
    model = shape_model()
    before, after = (model.normalise(p)[0][LIPS] for p in (points, new))
    return float(np.sqrt(((after - before) ** 2).sum(1).mean()))


def mouth_of(own: Float, points: Float, expression: float) -> Float:
    """The target's points with the driver's lips: float32 [148, 2].

    The lips take `expression` of the driver's shape, seen in the canonical frame and centred on the target's
    upper lip line; of the corner-to-corner width `SHARES` says what is expression, the rest is the person's
    own. The share is halved until nothing folds.
    """
    model = shape_model()
    (ours, matrix), (theirs, _) = model.normalise(points), model.normalise(own)
    corners = at(61, 291)
    widths = [float(np.hypot(*(shape[corners[1]] - shape[corners[0]]))) for shape in (ours, theirs)]
    lips = theirs[LIPS] - theirs[corners].mean(0)
    lips = lips * np.float32((widths[0] / max(widths[1], 1e-6)) ** (1 - SHARES["mouth_width"])) + ours[
        corners
    ].mean(0)
    linear = np.linalg.inv(matrix[:, :2])
    placed = (lips - matrix[:, 2]) @ linear.T
    anchors = points[ANCHORS]
    for _ in range(5):
        new = points.copy()
        new[LIPS] += np.float32(expression) * (placed - points[LIPS])
        after = np.concatenate([new[LIPS], anchors])
        if folded_share(own[LIPS + ANCHORS], triangulate(after), after) < second_face.FOLDED:
            break
        expression = expression / 2
    return new


def warped_mouth(image: Image, own: Float, new: Float, height: int, width: int) -> Float:
    """The driver's picture with lips, jaw and nose base on those of `new`: float32 [height, width, 3]."""
    image, own = at_scale(image, own, new)
    corners = frame(height, width, margin=float(height + width))
    kept = LIPS + ANCHORS
    field = backward_field(
        np.concatenate([new[kept], corners]),
        np.concatenate([own[kept], transform(corners, similarity(new[kept], own[kept]))]),
        height,
        width,
        supersampling(height, width),
    )
    return warp(image, field, height, width)


def mouth_region(points: Float, new: Float, reach: float) -> Float:
    """The lips before and after, with a margin of `reach` mouth widths, between the nose's base and the jaw:
    [M, 2].
    """
    lips = np.concatenate([points[LIPS], new[LIPS]])
    centre = lips.mean(0)
    across = float(np.hypot(*(points[LIPS].max(0) - points[LIPS].min(0))))
    away = lips - centre
    length = np.maximum(np.hypot(*away.T), 1e-6)[:, None]
    region = masks.hull(centre + away * (1 + reach * across / length))
    up = points[at(10)[0]] - points[at(152)[0]]
    up = up / max(float(np.hypot(*up)), 1e-6)
    ceiling = float((points[at(2)[0]] - centre) @ up)
    over = np.maximum((region - centre) @ up - ceiling, 0)
    region = region - over[:, None] * up
    jaw = points[list(GROUPS["oval"])]
    inside = jaw.mean(0) + (jaw - jaw.mean(0)) * np.float32(0.96)
    return _clipped(region, masks.hull(inside))


def _clipped(polygon: Float, container: Float) -> Float:
    """The intersection of two convex polygons: float32 [M, 2]; `polygon` where they do not meet."""
    area, common = cv2.intersectConvexConvex(masks.hull(polygon), container)
    return common.reshape(-1, 2) if area > 0 and common is not None else polygon
