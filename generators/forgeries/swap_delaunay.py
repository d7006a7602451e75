"""`swap-delaunay`: the classic landmark face swap, warped triangle by triangle and blended in."""

from __future__ import annotations

from typing import Any, Literal

import cv2
import numpy as np
from pydantic import Field

from generators.forgeries import blending, masks
from generators.forgeries.base import Forger, Layers, forgery
from generators.forgeries.checks import ForgeryError
from generators.forgeries.geometry import (
    Float,
    at_scale,
    backward_field,
    frame,
    similarity,
    supersampling,
    transform,
    warp,
)
from generators.forgeries.shape_model import MEASURES, measure, shape_model
from manifests.mesh148 import GROUPS, MIRROR
from manifests.records import Face, Image
from manifests.registry import Params

Blend = Literal["alpha", "poisson"]
Colour = Literal["reinhard", "covariance"]

DETAIL_RADIUS = 0.2
"""Over how much of the face, in face widths, detail is compared."""
GREY = 5.0
"""Below this colourfulness, grey levels, a target counts as a grey picture, and the source loses its colours."""


class SwapParams(Params):
    """Ranges are (low, high), drawn uniformly per sample; choices are drawn with equal chance.

    feather: width of the soft edge, in face widths. top: how far the mask goes from the brows (0) to the upper
    end of the face oval (1). sides: scale of the oval. relight: how much of the target's shading the source takes.
    max_yaw_gap: largest difference of the two faces' nose offsets, in eye distances, before the pair is refused.
    max_mouth_gap: by how much more than the target's the source's mouth may be open, in eye distances.
    """

    feather: tuple[float, float] = (0.10, 0.18)
    top: tuple[float, float] = (0.25, 0.6)
    sides: tuple[float, float] = (0.86, 0.96)
    relight: tuple[float, float] = (0.5, 0.85)
    blends: tuple[Blend, ...] = Field(("alpha", "poisson"), min_length=1)
    colours: tuple[Colour, ...] = Field(("reinhard", "covariance"), min_length=1)
    max_yaw_gap: float = Field(0.16, gt=0)
    max_mouth_gap: float = Field(0.18, gt=0)


@forgery(
    "swap-delaunay", family="swap", uses="source", params=SwapParams,
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
        assert target.landmarks is not None
        drawn = self._draw(rng)
        height, width = target.image.shape[:2]
        points = target.landmarks.astype(np.float32)
        size = float(np.ptp(points[list(GROUPS["oval"])], axis=0).mean())
        base = target.image.astype(np.float32)

        image, own, drawn["mirrored"] = facing(other, points)
        self._check_pose(other, own, points)
        source = warp_onto(image, own, points, height, width)
        region = masks.face_region(points, drawn["top"], drawn["sides"])
        alpha = masks.soft_polygon(region, drawn["feather"] * size, height, width)
        alpha = masks.away_from_edges(alpha * self._visible(source, base, own, points))
        source = self._recolour(source, base, points, alpha, drawn, size)
        if drawn["blend"] == "poisson":
            source = blending.membrane(source, base, masks.fill(region, height, width), sigma=0.02 * size)
        return Layers(blending.match_detail(source, base, alpha, DETAIL_RADIUS * size, high=2.5), alpha, drawn)

    def _check_pose(self, other: Face, own: Float, points: Float) -> None:
        yaw, mouth = np.subtract(_pose(own), _pose(points))
        if abs(yaw) > self.params.max_yaw_gap or mouth > self.params.max_mouth_gap:
            raise ForgeryError(
                "pose_gap", f"face {other.image_id!r}",
                f"cannot be warped onto its target (nose offset {yaw:+.2f}, mouth opening {mouth:+.2f} eye distances)",
                "pair faces of a similar pose and expression",
            )

    def _visible(self, source: Float, base: Float, own: Float, points: Float) -> Float:
        """Where both pictures show the face itself: not hair, cloth or hands at its rim, nor a mouth that must open."""
        height, width = base.shape[:2]
        skin = np.minimum(masks.skin_likeness(source, points), masks.skin_likeness(base, points))
        visible = np.maximum(skin, masks.core_mask(points, height, width))
        open_now, open_there = (_pose(p)[1] for p in (points, own))
        if open_now > 0.06 and open_there < 0.5 * open_now:
            mouth = masks.fill(masks.polygon_of(points, "lips_inner"), height, width)
            visible = visible * (1 - cv2.GaussianBlur(mouth, (0, 0), 0.012 * float(np.ptp(points[:, 0])) + 0.3))
        return visible

    def _recolour(
        self, source: Float, base: Float, points: Float, alpha: Float, drawn: dict[str, Any], size: float
    ) -> Float:
        height, width = base.shape[:2]
        skin = alpha * (1 - masks.features_mask(points, height, width)) + 1e-4 * alpha
        transfer = blending.reinhard if drawn["colour"] == "reinhard" else blending.covariance_transfer
        openings = cv2.GaussianBlur(masks.openings_mask(points, height, width), (0, 0), 0.012 * size)
        share = ((1 - openings) * blending.skin_share(source, skin))[..., None]
        plain = blending.expose(source, base, skin, skin)
        source = share * transfer(source, base, skin, skin) + (1 - share) * plain
        source = blending.relight(source, base, skin, 0.12 * size, drawn["relight"])
        grey = source.mean(2, keepdims=True)
        return grey + (source - grey) * np.float32(min(1.0, blending.colourfulness(base, skin) / GREY))

    def _draw(self, rng: np.random.Generator) -> dict[str, Any]:
        p = self.params
        drawn: dict[str, Any] = {
            name: round(float(rng.uniform(*getattr(p, name))), 4) for name in ("feather", "top", "sides", "relight")
        }
        drawn["blend"] = p.blends[int(rng.integers(len(p.blends)))]
        drawn["colour"] = p.colours[int(rng.integers(len(p.colours)))]
        return drawn


def _pose(points: Float) -> tuple[float, float]:
    """Sideways offset of the nose, and height of the inner mouth, in eye distances."""
    values = measure(shape_model().normalise(points)[0])
    return float(values[MEASURES.index("yaw")]), float(values[MEASURES.index("mouth_open")])


def facing(face: Face, points: Float) -> tuple[Image, Float, bool]:
    """The face's image and landmarks, mirrored where that looks more the way `points` do, and whether it was."""
    assert face.landmarks is not None
    own = face.landmarks.astype(np.float32)
    mirrored = own[MIRROR].copy()
    mirrored[:, 0] = face.image.shape[1] - mirrored[:, 0]
    residual = [float(((transform(p, similarity(p, points)) - points) ** 2).sum()) for p in (own, mirrored)]
    if residual[1] < 0.8 * residual[0]:
        return np.ascontiguousarray(face.image[:, ::-1]), mirrored, True
    return face.image, own, False


def warp_onto(image: Image, own: Float, points: Float, height: int, width: int) -> Float:
    """`image`, warped piecewise affinely so that its landmarks `own` lie on `points`: float32 [height, width, 3]."""
    image, own = at_scale(image, own, points)
    corners = frame(height, width, margin=float(height + width))
    to_points = np.concatenate([points, _ring(points), corners])
    from_points = np.concatenate([own, _ring(own), transform(corners, similarity(points, own))])
    field = backward_field(to_points, from_points, height, width, supersampling(height, width))
    return warp(image, field, height, width)


def _ring(points: Float) -> Float:
    """The face oval, 1.2 times as large: it carries the warp beyond the face."""
    oval = points[list(GROUPS["oval"])]
    return oval.mean(0) + (oval - oval.mean(0)) * np.float32(1.2)
