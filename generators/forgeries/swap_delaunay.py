"""`swap-delaunay`: the classic landmark face swap, warped triangle by triangle and blended in."""

from __future__ import annotations

from typing import Any, Literal

import cv2
import numpy as np
from pydantic import Field

from generators.forgeries import blending, masks, second_face
from generators.forgeries.base import Forger, Layers, forgery
from generators.forgeries.geometry import Float
from manifests.records import Face
from manifests.registry import Params

Blend = Literal["alpha", "poisson"]

DETAIL_RADIUS = 0.2
"""Over how much of the face, in face widths, detail is compared."""


class SwapParams(Params):
    """Ranges are (low, high), drawn uniformly per sample; choices are drawn with equal chance.

    feather: width of the soft edge, in face widths. top: how far the mask goes from the brows (0) to the
    upper end of the face oval (1). sides: scale of the oval. relight: how much of the target's shading the
    source takes. shape: how far brows, eyes, nose and lips go from the target's places to the source's own,
    its proportions and expression; the oval stays the target's, and so do the lips of an open mouth where the
    source's is closed. max_yaw_gap: largest difference of the two faces' nose offsets, in eye distances,
    before the pair is refused. max_mouth_gap: by how much more than the target's the source's mouth may be
    open, in eye distances. match_detail: chance that the source gets the target's detail (see `blend-self`).
    """

    feather: tuple[float, float] = (0.10, 0.18)
    top: tuple[float, float] = (0.25, 0.6)
    sides: tuple[float, float] = (0.86, 0.96)
    relight: tuple[float, float] = (0.5, 0.85)
    shape: tuple[float, float] = (0.6, 1.0)
    blends: tuple[Blend, ...] = Field(("alpha", "poisson"), min_length=1)
    colours: tuple[second_face.Colour, ...] = Field(("reinhard", "covariance"), min_length=1)
    max_yaw_gap: float = Field(0.16, gt=0)
    max_mouth_gap: float = Field(0.18, gt=0)
    match_detail: float = Field(1.0, ge=0, le=1)


@forgery(
    "swap-delaunay",
    family="swap",
    uses="source",
    params=SwapParams,
    paper="Delaunay piecewise-affine face swap; colour: Reinhard et al. 2001, Pitié & Kokaram 2007; "
    "Poisson: Pérez, Gangnet, Blake 2003",
)
class SwapDelaunay(Forger):
    """Face swap: the source's face, warped to the target's landmarks, in the target's colours, blended in."""

    def layers(self, target: Face, other: Face | None, rng: np.random.Generator) -> Layers:
        """The source's face in the target's shape; see `Forger.layers`.

        Raises:
            ForgeryError: `pose_gap`, where the two faces look in directions too different for a 2D warp.
        """
        assert other is not None
        drawn = self._draw(rng)
        height, width = target.image.shape[:2]
        points, size, base, image, own, drawn["mirrored"] = second_face.facing_target(target, other)
        self._check_pose(other, own, points)
        gapes = _gapes(own, points)
        keep = ("oval", "lips_outer", "lips_inner") if gapes else ("oval",)
        shaped = second_face.with_shape_of(own, points, drawn["shape"], keep)
        source = second_face.warp_onto(image, own, shaped, height, width)
        region = masks.face_region(points, drawn["top"], drawn["sides"])
        alpha = masks.soft_polygon(region, drawn["feather"] * size, height, width)
        alpha = masks.away_from_edges(alpha * self._visible(source, base, points, gapes))
        source = second_face.recoloured(source, base, points, alpha, drawn["colour"], drawn["relight"])
        if drawn["blend"] == "poisson":
            source = blending.membrane(source, base, masks.fill(region, height, width), sigma=0.02 * size)
        if blending.happens(self.params.match_detail, rng):
            source = blending.match_detail(source, base, alpha, DETAIL_RADIUS * size, high=2.5)
        return Layers(source, alpha, drawn)

    def _check_pose(self, other: Face, own: Float, points: Float) -> None:
        yaw, mouth = np.subtract(second_face.pose(own), second_face.pose(points))
        if abs(yaw) > self.params.max_yaw_gap or mouth > self.params.max_mouth_gap:
            raise second_face.pose_gap(other, yaw, mouth)

    def _visible(self, source: Float, base: Float, points: Float, gapes: bool) -> Float:
        """Where both pictures show the face itself: not hair, cloth or hands at its rim, nor a mouth that
        must open.
        """
        height, width = base.shape[:2]
        skin = np.minimum(masks.skin_likeness(source, points), masks.skin_likeness(base, points))
        visible = np.maximum(skin, masks.core_mask(points, height, width))
        if gapes:
            mouth = masks.fill(masks.polygon_of(points, "lips_inner"), height, width)
            visible = visible * (
                1 - cv2.GaussianBlur(mouth, (0, 0), 0.012 * float(np.ptp(points[:, 0])) + 0.3)
            )
        return visible

    def _draw(self, rng: np.random.Generator) -> dict[str, Any]:
        p = self.params
        drawn: dict[str, Any] = {
            name: round(float(rng.uniform(*getattr(p, name))), 4)
            for name in ("feather", "top", "sides", "relight", "shape")
        }
        drawn["blend"] = p.blends[int(rng.integers(len(p.blends)))]
        drawn["colour"] = p.colours[int(rng.integers(len(p.colours)))]
        return drawn


def _gapes(own: Float, points: Float) -> bool:
    """Whether the target's mouth is open where the source has hardly an inside of the mouth to show."""
    open_there, open_now = (second_face.pose(p)[1] for p in (own, points))
    return open_now > 0.06 and open_there < 0.5 * open_now
