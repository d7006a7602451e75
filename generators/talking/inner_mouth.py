"""The inside of a mouth: a dark cavity, teeth that stay with the skull or go with the jaw, and a tongue;
drawn between the lips.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from generators.talking.face_shape import Posed

Float = npt.NDArray[np.float32]
FINE = 4
"""Samples per pixel and axis."""
UPPER_TEETH, LOWER_TEETH = 0.085, 0.05
"""Height of the rows of teeth, eye distances."""
TOOTH = 0.055
"""Width of a tooth in the middle."""
SIDE = 0.34
"""Half the width of the row that can be seen."""
LEAST = 0.008
"""Half the height of the dark line between closed lips, eye distances."""


@dataclass(frozen=True)
class MouthColours:
    """RGB in [0, 255] of a mouth in the light of its face."""

    cavity: Float
    teeth: Float
    tongue: Float
    lip: Float


def colours_of(skin: Float, lip: Float) -> MouthColours:
    """Colours of the inside of a mouth.

    Args:
        skin: float32 [3], mean RGB of the skin about the mouth.
        lip: float32 [3], mean RGB of the lips.
    """
    light = float(skin.mean())
    teeth = np.clip(0.62 * light + 62, 70, 215)
    tone = 0.75 + 0.25 * skin / max(light, 1.0)
    return MouthColours(
        cavity=(0.16 * skin + np.array([14, 2, 2])).clip(8, 70).astype(np.float32),
        teeth=(teeth * tone * np.array([1.0, 0.965, 0.90])).clip(0, 245).astype(np.float32),
        tongue=(0.5 * lip + 0.16 * light * np.array([1.25, 0.75, 0.75])).clip(0, 255).astype(np.float32),
        lip=lip.astype(np.float32),
    )


def _soft(edge: Float, width: float) -> Float:
    """0 below -width, 1 above width, smooth between."""
    t = np.clip(0.5 + edge / (2 * width), 0, 1)
    return (t * t * (3 - 2 * t)).astype(np.float32)


def draw_mouth(
    picture: Float,
    posed: Posed,
    colours: MouthColours,
    matrix: npt.NDArray[np.float64],
) -> Float:
    """The picture with the inside of the mouth between its lips: float32 [H, W, 3].

    Args:
        picture: float32 [H, W, 3] in [0, 255].
        posed: the face.
        colours: of the inside.
        matrix: float64 [2, 3], from the frame of `posed` to pixels.
    """
    height, width = picture.shape[:2]
    unit = float(np.hypot(matrix[0, 0], matrix[1, 0]))
    upper, lower = posed.upper.copy(), posed.lower.copy()
    thin = np.maximum(LEAST - (lower[1:-1, 1] - upper[1:-1, 1]) / 2, 0)
    upper[1:-1, 1] -= thin
    lower[1:-1, 1] += thin
    ring = np.concatenate([upper, lower[::-1]])
    placed = ring @ matrix[:, :2].T + matrix[:, 2]
    low = np.maximum(np.floor(placed.min(0)).astype(int) - 3, 0)
    high = np.minimum(np.ceil(placed.max(0)).astype(int) + 3, (width, height))
    if (high - low).min() <= 0:
        return picture
    columns, rows = ((high - low) * FINE).tolist()
    mask = np.zeros((rows, columns), np.uint8)
    cv2.fillPoly(mask, [np.rint(((placed - low) * FINE - 0.5) * 16).astype(np.int32)], 255, cv2.LINE_AA, 4)
    inverse = np.linalg.inv(matrix[:, :2])
    x = low[0] + (np.arange(columns) + 0.5) / FINE - matrix[0, 2]
    y = low[1] + (np.arange(rows) + 0.5) / FINE - matrix[1, 2]
    across = (inverse[0, 0] * x[None] + inverse[0, 1] * y[:, None]).astype(np.float32)
    down = (inverse[1, 0] * x[None] + inverse[1, 1] * y[:, None]).astype(np.float32)
    inside = _inside(across, down, posed, colours, 0.6 / unit)
    alpha = cv2.GaussianBlur(mask.astype(np.float32) / 255, (0, 0), 0.45 * FINE)
    box = (slice(low[1], high[1]), slice(low[0], high[0]))
    size = (int(high[0] - low[0]), int(high[1] - low[1]))
    small = cv2.resize(np.dstack([inside * alpha[..., None], alpha]), size, interpolation=cv2.INTER_AREA)
    out = picture.copy()
    out[box] = picture[box] * (1 - small[..., 3:]) + small[..., :3]
    return out


def _inside(x: Float, y: Float, posed: Posed, colours: MouthColours, blur: float) -> Float:
    """Colours at the canonical places x, y: float32 [h, w, 3]."""
    middle = float(posed.line[:, 0].mean())
    half = float(np.ptp(posed.line[:, 0])) / 2
    u = (x - middle) / max(half, 1e-3)
    order = np.argsort(posed.line[:, 0])
    line, top, bottom = (
        np.interp(x, side[order, 0], side[order, 1]).astype(np.float32)
        for side in (posed.line, posed.upper, posed.lower)
    )
    out = np.broadcast_to(colours.cavity, (*x.shape, 3)).astype(np.float32)

    depth = (y - top) / np.maximum(bottom - top, 1e-3)
    tongue = _soft(bottom - y - 0.0, blur) * _soft(
        y - (bottom - 0.03 - 0.35 * posed.gap * (0.45 + 0.55 * posed.tongue) * (1 - u * u)), 2 * blur
    )
    tongue = tongue * np.clip(1.25 - 1.6 * u * u, 0, 1) * np.clip(depth * 1.1, 0, 1)
    out += (0.75 * tongue)[..., None] * (colours.tongue - out)

    reach = SIDE * np.clip(half / 0.36, 0.8, 1.1)
    beside = np.abs(x - middle) / reach
    shade = np.clip(1.04 - 0.5 * beside**2, 0.25, 1)
    gaps = 1 - 0.07 * np.cos(2 * np.pi * (x - middle) / TOOTH + np.pi) ** 8
    sides = _soft((1 - beside) * reach, 2 * blur)
    crown = (
        line - 0.015 + UPPER_TEETH * (0.62 + 0.38 * posed.raised) * (1 - 0.30 * np.clip(beside, 0, 1) ** 2)
    )
    upper = _soft(crown - y, blur) * sides
    lit = shade * gaps * np.clip(0.78 + (y - top) / 0.06, 0.78, 1)
    jaw = line + posed.jaw
    edge = jaw + 0.012 - LOWER_TEETH * (0.75 - 0.25 * np.clip(beside * 1.15, 0, 1) ** 2)
    lower = _soft(y - edge, blur) * sides * _soft((bottom - top) - 0.02, 0.02)
    dim = 0.72 * shade * gaps * np.clip(0.75 + (bottom - y) / 0.08, 0.75, 1)
    out += (0.85 * lower)[..., None] * (colours.teeth * dim[..., None] - out)
    out += (0.96 * upper)[..., None] * (colours.teeth * lit[..., None] - out)

    rim = np.minimum(y - top, bottom - y)
    dark = 0.35 * (1 - _soft(rim - 0.006, 0.012))
    return out * (1 - dark)[..., None] + dark[..., None] * (0.55 * colours.lip)
