"""`blend-xray`: another person's face of nearly the same shape, laid over the target's as it is and blended
in.
"""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
from pydantic import Field

from generators.forgeries import blending, masks, second_face
from generators.forgeries.base import Forger, Layers, forgery
from generators.forgeries.checks import ForgeryError
from generators.forgeries.geometry import Float, similarity, transform
from manifests.records import Face
from manifests.registry import Params

DETAIL_RADIUS = 0.15
"""Over how much of the face, in face widths, detail is compared."""


class BlendXrayParams(Params):
    """Ranges are (low, high), drawn uniformly per sample; choices are drawn with equal chance.

    top: how far the hull goes from the brows (0) to the upper end of the face oval (1). sides: scale of the
    oval. elastic: displacement of the hull's edge, in face widths. feather: sigma of the mask's blur, in face
    widths. relight: how much of the target's shading the source takes. max_distance: root mean square
    distance of the two sets of landmarks after a similarity, in face widths, above which the pair is refused.
    match_detail: chance that the source gets the target's detail (see `blend-self`).
    """

    top: tuple[float, float] = (0.2, 0.6)
    sides: tuple[float, float] = (0.82, 0.94)
    elastic: tuple[float, float] = (0.01, 0.025)
    feather: tuple[float, float] = (0.025, 0.06)
    relight: tuple[float, float] = (0.3, 0.8)
    colours: tuple[second_face.Colour, ...] = Field(("reinhard", "covariance"), min_length=1)
    max_distance: float = Field(0.07, gt=0)
    match_detail: float = Field(1.0, ge=0, le=1)


@forgery(
    "blend-xray",
    family="blend",
    uses="source",
    params=BlendXrayParams,
    partner="nearest",
    paper="Li et al., Face X-ray for more general face forgery detection, CVPR 2020 (arXiv 1912.13458)",
)
class BlendXray(Forger):
    """Blended pair: the face whose landmarks are nearest, colour-matched, under a deformed hull mask."""

    def layers(self, target: Face, other: Face | None, rng: np.random.Generator) -> Layers:
        """The source's face under a deformed hull of the target's landmarks; see `Forger.layers`.

        The paper searches a hundred other images for the nearest landmarks, transfers colours, and blends
        under the landmarks' hull, deformed and blurred. Here as there the face is not warped triangle by
        triangle: nearness makes it fit, a similarity brings it into place. Mirroring the source, keeping to
        skin, and the ranges are [recon].

        Raises:
            ForgeryError: `pose_gap`, where the landmarks are too far apart.
        """
        assert other is not None
        drawn = self._draw(rng)
        height, width = target.image.shape[:2]
        points, size, base, image, own, drawn["mirrored"] = second_face.facing_target(target, other)
        drawn["distance"] = round(self._distance(other, own, points, size), 4)
        source = second_face.lay_onto(image, own, points, height, width)
        alpha = self._mask(points, source, base, size, drawn, rng)
        source = second_face.recoloured(source, base, points, alpha, drawn["colour"], drawn["relight"])
        if blending.happens(self.params.match_detail, rng):
            source = blending.match_detail(source, base, alpha, DETAIL_RADIUS * size, high=2.5)
        return Layers(source, alpha, drawn)

    def _distance(self, other: Face, own: Float, points: Float, size: float) -> float:
        gap = transform(own, similarity(own, points)) - points
        distance = float(np.sqrt((gap**2).sum(1).mean())) / size
        if distance > self.params.max_distance:
            raise ForgeryError(
                "pose_gap",
                f"face {other.image_id!r}",
                f"has its landmarks {distance:.3f} face widths away from the target's",
                "pair faces of a similar pose and shape, or raise max_distance",
            )
        return distance

    def _mask(
        self,
        points: Float,
        source: Float,
        base: Float,
        size: float,
        drawn: dict[str, Any],
        rng: np.random.Generator,
    ) -> Float:
        """The hull, deformed and softened, where both pictures show skin or features."""
        height, width = base.shape[:2]
        mask = masks.fill(masks.face_region(points, drawn["top"], drawn["sides"]), height, width)
        mask = masks.elastic(mask, drawn["elastic"] * size, 0.08 * size, rng)
        sigma = max(drawn["feather"] * size, 0.5)
        mask = np.clip((cv2.GaussianBlur(mask, (0, 0), sigma) - 0.5) / 0.4, 0, 1)
        mask = cv2.GaussianBlur(mask, (0, 0), sigma)
        skin = np.minimum(masks.skin_likeness(source, points), masks.skin_likeness(base, points))
        mask = mask * np.maximum(skin, masks.core_mask(points, height, width))
        return masks.away_from_edges(mask * (mask > 1 / 512))

    def _draw(self, rng: np.random.Generator) -> dict[str, Any]:
        p = self.params
        drawn: dict[str, Any] = {
            name: round(float(rng.uniform(*getattr(p, name))), 4)
            for name in ("top", "sides", "elastic", "feather", "relight")
        }
        drawn["colour"] = p.colours[int(rng.integers(len(p.colours)))]
        return drawn
