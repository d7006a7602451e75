"""One image at several qualities, aligned: the tuples of QAD (Le & Woo, ICCV 2023), made in the batch.

A quality is written `raw`, or a kind with a value or a range: `jpeg:30-90` (quality), `h264:23` (constant
rate factor, 23 and 40 as in FaceForensics++), `down:2-4` (scaled down by this factor and back up). Values are
drawn for each image, by what it is, so that both halves of a pair go through the same codec.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from manifests.errors import UsageError
from manifests.h264 import MAX_CRF, through_h264, video_library
from manifests.images import Image, decode, encode
from manifests.seeding import rng_of

LIMITS = {"jpeg": (1.0, 100.0), "h264": (0.0, float(MAX_CRF)), "down": (1.0, 16.0)}


@dataclass(frozen=True)
class Quality:
    """kind: `raw`, `jpeg`, `h264` or `down`. low, high: range of its value, equal for a fixed one."""

    kind: str
    low: float = 0.0
    high: float = 0.0


def parse_quality(text: str) -> Quality:
    """A quality as it is written in the settings.

    Raises:
        UsageError: an unknown kind, no number, a range that is empty or out of the kind's limits.
        MissingError: `h264` without the package `av`.
    """
    kind, _, values = text.strip().partition(":")
    if kind == "raw" and not values:
        return Quality("raw")
    fix = "write raw, jpeg:30-90, h264:23 or down:2-4"
    if kind not in LIMITS:
        raise UsageError(f"qualities: {text!r}", "is not known", fix)
    low, _, high = values.partition("-")
    try:
        quality = Quality(kind, float(low), float(high or low))
    except ValueError as error:
        raise UsageError(f"qualities: {text!r}", "has no value, or one that is no number", fix) from error
    least, most = LIMITS[kind]
    if not least <= quality.low <= quality.high <= most:
        raise UsageError(f"qualities: {text!r}", f"is no range within {least:g} to {most:g}", fix)
    if kind == "h264":
        video_library("quality h264", ", or leave it out of qualities")
    return quality


def parse_qualities(texts: Sequence[str]) -> list[Quality]:
    """The qualities of the settings; none for an empty list.

    Raises:
        UsageError: see `parse_quality`; also one that is given twice. MissingError: see `parse_quality`.
    """
    twice = sorted({t for t in texts if list(texts).count(t) > 1})
    if twice:
        raise UsageError(f"qualities: {', '.join(twice)}", "is given twice", "name each once")
    return [parse_quality(text) for text in texts]


def degrade(image: Image, quality: Quality, rng: np.random.Generator) -> Image:
    """The image at a quality: uint8 [H, W, 3], the same size. rng: gives one draw, the value in the range."""
    value = quality.low + (quality.high - quality.low) * rng.random()
    if quality.kind == "jpeg":
        return decode(encode(image, "jpeg", round(value)))
    if quality.kind == "h264":
        return through_h264(image, round(value))
    if quality.kind == "down":
        height, width = image.shape[:2]
        small = (max(1, round(width / value)), max(1, round(height / value)))
        low = cv2.resize(image, small, interpolation=cv2.INTER_AREA)
        return cv2.resize(low, (width, height), interpolation=cv2.INTER_CUBIC)
    return image


def quality_tuples(
    images: Image, keys: Sequence[str], qualities: Sequence[Quality], seed: int, epoch: int
) -> Image:
    """Every image at every quality: uint8 [Q N, H, W, 3], all images at the first quality, then all at the
    next.

    keys: what the values are drawn for, one per image (its id, or its pair's).
    """
    return np.stack(
        [
            degrade(image, quality, rng_of(seed, "quality", epoch, place, key))
            for place, quality in enumerate(qualities)
            for image, key in zip(images, keys, strict=True)
        ]
    )
