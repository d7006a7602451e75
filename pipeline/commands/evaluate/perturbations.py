"""What happens to pictures on their way: JPEG, H.264, blur, resizing, brightness, noise, each at several
strengths.

A perturbation maps uint8 [H, W, 3] RGB and a strength to the same shape; noise depends on the image's id
alone, so a sweep gives the same figures at any order and batch.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from PIL import Image as PilImage
from PIL import ImageFilter

from manifests.errors import UsageError
from manifests.h264 import MAX_CRF, through_h264
from manifests.images import Image, decode, encode
from manifests.registry import nearest
from manifests.seeding import rng_of


@dataclass(frozen=True)
class Perturbation:
    """`apply(image, strength, image_id)`; `strengths` from mild to strong; `unit` says what a strength is."""

    unit: str
    strengths: tuple[float, ...]
    apply: Callable[[Image, float, str], Image]


def _jpeg(image: Image, quality: float, image_id: str) -> Image:
    return decode(encode(image, "jpeg", int(quality)))


def _h264(image: Image, crf: float, image_id: str) -> Image:
    return through_h264(image, int(crf))


def _blur(image: Image, sigma: float, image_id: str) -> Image:
    return np.array(PilImage.fromarray(image).filter(ImageFilter.GaussianBlur(sigma)))


def _resize(image: Image, share: float, image_id: str) -> Image:
    height, width = image.shape[:2]
    size = (max(1, round(width * share)), max(1, round(height * share)))
    small = PilImage.fromarray(image).resize(size, PilImage.Resampling.BILINEAR)
    return np.array(small.resize((width, height), PilImage.Resampling.BILINEAR))


def _brightness(image: Image, factor: float, image_id: str) -> Image:
    return (image.astype(np.float32) * factor).round().clip(0, 255).astype(np.uint8)


def _noise(image: Image, sigma: float, image_id: str) -> Image:
    drawn = rng_of(0, "perturbation", "noise", image_id).standard_normal(image.shape, dtype=np.float32)
    return (image + sigma * drawn).round().clip(0, 255).astype(np.uint8)


PERTURBATIONS = {
    "jpeg": Perturbation("quality", (90, 70, 50, 30, 10), _jpeg),
    "h264": Perturbation("constant rate factor", (23, 30, 40), _h264),
    "blur": Perturbation("sigma in pixels", (0.5, 1, 2, 3), _blur),
    "resize": Perturbation("share of the side, then back", (0.75, 0.5, 0.25), _resize),
    "brightness": Perturbation("factor", (0.5, 0.75, 1.25, 1.5), _brightness),
    "noise": Perturbation("standard deviation in grey levels", (2, 5, 10, 20), _noise),
}


WHOLE = {"jpeg": (1.0, 100.0), "h264": (0.0, float(MAX_CRF))}
"""Strengths that are whole numbers, with their range."""


def parse_perturbations(text: str) -> list[tuple[str, tuple[float, ...]]]:
    """`jpeg,noise:2:8` as names with strengths; a name alone has its own.

    Raises:
        UsageError: an unknown name, or a strength that is no positive number or no quality.
    """
    out = []
    for part in text.split(","):
        name, *strengths = part.strip().split(":")
        if name not in PERTURBATIONS:
            names = list(PERTURBATIONS)
            raise UsageError(
                f"perturbation {name!r}",
                f"is not known{nearest(name, names)}",
                f"choose among: {', '.join(names)}",
            )
        try:
            values = tuple(map(float, strengths)) or PERTURBATIONS[name].strengths
        except ValueError:
            values = (0.0,)
        low, high = WHOLE.get(name, (0.0, 1000.0))
        if not all(
            0 < value < 1000 and low <= value <= high and (name not in WHOLE or value == int(value))
            for value in values
        ):
            raise UsageError(
                f"perturbation {part.strip()!r}",
                "has a strength out of range",
                f"write {name}:{':'.join(f'{s:g}' for s in PERTURBATIONS[name].strengths)}",
            )
        out.append((name, values))
    return out
