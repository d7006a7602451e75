"""`blend-self`: self-blended images after Shiohara & Yamasaki, "Detecting deepfakes with self-blended
images".
"""

from __future__ import annotations

from typing import Any, Literal

import cv2
import numpy as np
from pydantic import Field

from generators.forgeries import blending, masks
from generators.forgeries.base import Forger, Layers, forgery
from generators.forgeries.geometry import Float, supersampling, warp
from manifests.mesh148 import GROUPS
from manifests.records import Face
from manifests.registry import Params


class BlendSelfParams(Params):
    """Ranges are (low, high) or +-size; drawn uniformly per sample.

    ratios: blending ratios, one is drawn (the paper's set). rgb_shift: +- per channel, grey levels; less on a
    dark face, where they would be a tint that nobody takes for real. hue: +- degrees. saturation, value,
    contrast: +- relative. zoom: +- logarithm of the scale. shift: +- face widths. detail: +- logarithm of the
    strength of the finest detail (blur below 0, sharpening above). bend: root mean square of a smooth random
    displacement within the changed side, in face widths, as where a face is moved and not only put on; (0, 0)
    is none, as in the paper. elastic: displacement of the mask, in face widths. feather: sigma of the mask's
    blur, in face widths. side: what is changed: the `inner` face, or `either` it or all that surrounds it,
    with equal chance (as in the paper). resample: chance that the changed side loses detail by scaling down
    by 2 to 4 (nearest) and up again (bilinear). hulls: `region`, the hull between brows and oval, or one
    drawn of the paper's several kinds (`HULLS`). match_detail: chance that the changed side gets the detail
    of what it replaces. 1 for stored sets, whose fakes must not be told by their sharpness; less for
    training, where the traces of resampling are what a detector shall learn.
    """

    ratios: tuple[float, ...] = Field((0.25, 0.5, 0.75, 1.0, 1.0, 1.0), min_length=1)
    rgb_shift: float = Field(10.0, ge=0)
    hue: float = Field(8.0, ge=0)
    saturation: float = Field(0.25, ge=0, lt=1)
    value: float = Field(0.12, ge=0, lt=1)
    contrast: float = Field(0.12, ge=0, lt=1)
    zoom: float = Field(0.05, ge=0)
    shift: float = Field(0.03, ge=0)
    detail: float = Field(0.5, ge=0)
    bend: tuple[float, float] = (0.0, 0.0)
    elastic: tuple[float, float] = (0.01, 0.03)
    feather: tuple[float, float] = (0.02, 0.06)
    side: Literal["inner", "either"] = "inner"
    resample: float = Field(0.0, ge=0, le=1)
    hulls: Literal["region", "any"] = "region"
    match_detail: float = Field(1.0, ge=0, le=1)


MID_GREY = 128.0
DETAIL_RADIUS = 0.1
"""Over how much of the face, in face widths, detail is compared."""
BEND_SMOOTH = 0.12
"""Sigma of the Gaussian that smooths the displacement of `bend`, in face widths: about an eye's width, so
that features are stretched and moved, not torn.
"""
DETAIL_GAIN, DETAIL_ROUNDS = 8.0, 8
"""Two copies of one face, moved apart and mixed, cancel each other's fine detail: more of it is missing than
after a warp alone, and it takes more gain and more rounds to bring it back.
"""
HULLS: tuple[tuple[tuple[str, ...], float], ...] = (
    (("oval",), 1.0),
    (("right_eye", "left_eye", "right_brow", "left_brow", "nose", "lips_outer"), 1.0),
    (("nose", "lips_outer"), 1.0),
    (("lips_outer",), 1.8),
)
"""Groups of landmarks whose convex hulls are masks beside the face region, and how much larger those are: the
oval, the features, the lower middle of the face, the mouth and what surrounds it. Smaller ones mostly vanish
when a mask of a 128 px face is softened.
"""


@forgery(
    "blend-self",
    family="blend",
    uses="none",
    params=BlendSelfParams,
    paper="Shiohara & Yamasaki, Detecting deepfakes with self-blended images, CVPR 2022",
)
class BlendSelf(Forger):
    """Self-blended image: the face, changed in colour, detail and place, blended onto its own picture."""

    detail_gain, detail_rounds = DETAIL_GAIN, DETAIL_ROUNDS

    def layers(self, target: Face, other: Face | None, rng: np.random.Generator) -> Layers:
        """The changed face and its deformed hull mask; see `Forger.layers`.

        The paper changes either side at random; so does `side = "either"`. By default it is the inner one, so
        that what lies outside the mask stays the target's. Ranges of the changes are [recon]: the paper's
        text leaves them open.
        """
        assert target.landmarks is not None
        drawn = self._draw(rng)
        points = target.landmarks.astype(np.float32)
        size = float(np.ptp(points[list(GROUPS["oval"])], axis=0).mean())
        base = target.image.astype(np.float32)
        alpha = self._mask(points, base.shape[0], base.shape[1], size, drawn, rng)
        changed = moved(
            self._start(base, drawn),
            points.mean(0),
            drawn["zoom"],
            drawn["shift_x"] * size,
            drawn["shift_y"] * size,
            self._bend(base, size, drawn, rng),
        )
        alpha = np.float32(drawn["ratio"]) * alpha
        changed = recoloured(changed, drawn)
        if blending.happens(self.params.match_detail, rng):
            changed = blending.match_detail(
                changed,
                base,
                1 - alpha if drawn.get("outer") else alpha,
                DETAIL_RADIUS * size,
                high=self.detail_gain,
                rounds=self.detail_rounds,
            )
        changed = sharpened(changed, drawn["detail"])
        if drawn.get("reduced"):
            changed = reduced(changed, drawn["reduced"])
        return (
            Layers(base, alpha, drawn, outside=changed)
            if drawn.get("outer")
            else Layers(changed, alpha, drawn)
        )

    def _start(self, base: Float, drawn: dict[str, Any]) -> Float:
        """The picture that is changed and blended onto `base`: itself. float32 [H, W, 3] in [0, 255]."""
        return base

    def _bend(
        self, base: Float, size: float, drawn: dict[str, Any], rng: np.random.Generator
    ) -> Float | None:
        """The displacement that `bend` asks for: float32 [2, H, W], pixels, or none."""
        if not drawn.get("bend"):
            return None
        height, width = base.shape[:2]
        return masks.smooth_field(height, width, drawn["bend"] * size, BEND_SMOOTH * size, rng)

    def _draw(self, rng: np.random.Generator) -> dict[str, Any]:
        p = self.params

        def around(half: float) -> float:
            return round(float(rng.uniform(-half, half)), 4)

        drawn = {
            "ratio": p.ratios[int(rng.integers(len(p.ratios)))],
            "rgb_shift": [around(p.rgb_shift) for _ in range(3)],
            "hue": around(p.hue),
            "saturation": around(p.saturation),
            "value": around(p.value),
            "contrast": around(p.contrast),
            "zoom": around(p.zoom),
            "shift_x": around(p.shift),
            "shift_y": around(p.shift / 2),
            "detail": around(p.detail),
            "top": round(float(rng.uniform(0.2, 1.0)), 4),
            "sides": round(float(rng.uniform(0.8, 1.0)), 4),
            "elastic": round(float(rng.uniform(*p.elastic)), 4),
            "feather": round(float(rng.uniform(*p.feather)), 4),
        }
        if p.side == "either":
            drawn["outer"] = bool(rng.random() < 0.5)
        if p.resample > 0:
            factor = round(float(rng.uniform(2, 4)), 4)
            drawn["reduced"] = factor if rng.random() < p.resample else 0.0
        if p.hulls == "any":
            drawn["hull"] = int(rng.integers(-1, len(HULLS)))
        if p.bend[1] > 0:
            drawn["bend"] = round(float(rng.uniform(*p.bend)), 4)
        return drawn

    def _mask(
        self,
        points: Float,
        height: int,
        width: int,
        size: float,
        drawn: dict[str, Any],
        rng: np.random.Generator,
    ) -> Float:
        """The landmarks' hull, deformed, blurred, shrunk to what was solid, blurred again (the paper's
        order).
        """
        kind = drawn.get("hull", -1)
        region = (
            masks.face_region(points, drawn["top"], drawn["sides"])
            if kind < 0
            else enlarged(HULLS[kind][0], HULLS[kind][1], points)
        )
        mask = masks.fill(region, height, width)
        mask = masks.elastic(mask, drawn["elastic"] * size, 0.08 * size, rng)
        sigma = max(drawn["feather"] * size, 0.5)
        mask = cv2.GaussianBlur(mask, (0, 0), sigma)
        mask = np.clip((mask - 0.5) / 0.4, 0, 1)
        mask = cv2.GaussianBlur(mask, (0, 0), sigma)
        return masks.away_from_edges(mask * (mask > 1 / 512))


def enlarged(groups: tuple[str, ...], scale: float, points: Float) -> Float:
    """The convex hull of groups of mesh148, `scale` times as large about its centre: float32 [M, 2]."""
    hull = masks.polygon_of(points, *groups)
    centre = hull.mean(0)
    return centre + np.float32(scale) * (hull - centre)


def moved(
    image: Float, centre: Float, zoom: float, shift_x: float, shift_y: float, bend: Float | None = None
) -> Float:
    """`image` scaled by exp(zoom) about `centre` and shifted, pixels: float32 [H, W, 3].

    Args:
        image: float32 [H, W, 3].
        centre: float32 [2], pixels.
        zoom: logarithm of the scale.
        shift_x: pixels.
        shift_y: pixels.
        bend: float32 [2, H, W], a displacement of every pixel's source, or none.
    """
    height, width = image.shape[:2]
    scale = supersampling(height, width)
    x = (np.arange(width * scale, dtype=np.float32) + 0.5) / scale
    y = (np.arange(height * scale, dtype=np.float32) + 0.5) / scale
    factor = np.exp(-zoom)
    x, y = (x - centre[0] - shift_x) * factor + centre[0], (y - centre[1] - shift_y) * factor + centre[1]
    field = np.stack(np.meshgrid(x, y), -1).astype(np.float32)
    if bend is not None:
        field += cv2.resize(np.ascontiguousarray(bend.transpose(1, 2, 0)), field.shape[1::-1])
    return warp(image, field, height, width)


def reduced(image: Float, factor: float) -> Float:
    """`image` scaled down by `factor` (nearest) and up again (bilinear): float32 [H, W, 3], with the traces
    of both.
    """
    height, width = image.shape[:2]
    small = cv2.resize(
        image,
        (max(2, round(width / factor)), max(2, round(height / factor))),
        interpolation=cv2.INTER_NEAREST,
    )
    return cv2.resize(small, (width, height), interpolation=cv2.INTER_LINEAR)


def sharpened(image: Float, detail: float) -> Float:
    """`image` with its finest detail times exp(detail) and the next coarser times exp(detail / 2)."""
    *finest, middle, _ = blending.bands(image)
    gain = float(np.exp(detail))
    return (image + (gain - 1) * sum(finest) + (gain**0.5 - 1) * middle).astype(np.float32)


def recoloured(image: Float, drawn: dict[str, Any]) -> Float:
    """`image` with the drawn contrast, shifts of red, green, blue, and of hue (degrees), saturation and
    value.

    A grey picture stays grey, and shifts are in proportion to the picture's mean brightness below mid-grey.
    """
    colour = min(1.0, blending.colourfulness(image, np.ones(image.shape[:2], np.float32)) / 8)
    shift = np.array(drawn["rgb_shift"], np.float32)
    shift = shift.mean() + (shift - shift.mean()) * np.float32(colour)
    shift *= np.float32(min(1.0, float(image.mean()) / MID_GREY))
    mean = image.mean((0, 1))
    image = (image - mean) * np.float32(1 + drawn["contrast"]) + mean + shift
    hsv = cv2.cvtColor(np.clip(image, 0, 255).astype(np.float32) / 255, cv2.COLOR_RGB2HSV)
    hsv[..., 0] = (hsv[..., 0] + drawn["hue"]) % 360
    hsv[..., 1] = np.clip(hsv[..., 1] * (1 + drawn["saturation"]), 0, 1)
    hsv[..., 2] = np.clip(hsv[..., 2] * (1 + drawn["value"]), 0, 1)
    return cv2.cvtColor(hsv, cv2.COLOR_HSV2RGB) * 255
