"""Label-blind augmentation: the same draws for real and fake, seeded by (seed, epoch, pair or image), not by
label.

By default flips and light alone: on small sets of small images, what moves, covers, resamples or recompresses
(shift, erase, scale, blur, JPEG) slows or stops the learning of blending traces; turn it on for large sets,
or for robustness.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt
from pydantic import Field, field_validator, model_validator

from manifests.h264 import through_h264
from manifests.images import QUALITIES, Image, decode, encode
from manifests.registry import Params
from manifests.seeding import rng_of

BEST_CRF, WORST_CRF = 20, 42


class AugmentParams(Params):
    """Chances and ranges.

    flip, erase, scale, blur, jpeg: chance per image. shift: up to so much of the side, in steps of `grid`
    pixels (8 keeps JPEG's blocks in place). erase: covers a rectangle, 0.1 to 0.4 of the side each way. zoom:
    of `scale`, log-uniform, +-. light: brightness and contrast factor, +-. blur_most: sigma of blur is 0.3 to
    so many pixels per 64 pixels of side. quality: of JPEG (or, with chance `webp`, of WebP), lowest and
    highest. video: chance that a picture that is compressed goes through H.264 instead, constant rate factor
    42 to 20 as quality rises
        (extra `video`).
    rotate: up to so many degrees. noise: chance of Gaussian noise, of standard deviation up to 6 grey levels.
    small: chance that the picture passes through a smaller one, of `small_least` to 0.9 of its side. kernels:
    whether that picture is made and enlarged by kernels that are drawn, linear, cubic or Lanczos; else always
    alike. colour: up to so much more or less saturation; grey: chance of a grey picture. sharpen: chance of
    an unsharp mask, of 0.2 to 1.2 times the detail, as phones and sites sharpen.
    """

    flip: float = Field(default=0.5, ge=0.0, le=1.0)
    shift: float = Field(default=0.0, ge=0.0, le=0.5)
    grid: int = Field(default=8, ge=1, le=64)
    erase: float = Field(default=0.0, ge=0.0, le=1.0)
    light: float = Field(default=0.1, ge=0.0, le=0.9)
    scale: float = Field(default=0.0, ge=0.0, le=1.0)
    zoom: float = Field(default=0.06, ge=0.0, le=0.5)
    blur: float = Field(default=0.0, ge=0.0, le=1.0)
    blur_most: float = Field(default=0.9, ge=0.3, le=4.0)
    jpeg: float = Field(default=0.0, ge=0.0, le=1.0)
    quality: tuple[int, int] = (60, 95)
    webp: float = Field(default=0.0, ge=0.0, le=1.0)
    video: float = Field(default=0.0, ge=0.0, le=1.0)
    kernels: bool = False
    rotate: float = Field(default=0.0, ge=0.0, le=45.0)
    noise: float = Field(default=0.0, ge=0.0, le=1.0)
    small: float = Field(default=0.0, ge=0.0, le=1.0)
    small_least: float = Field(default=0.35, ge=0.05, le=0.9)
    colour: float = Field(default=0.0, ge=0.0, le=1.0)
    grey: float = Field(default=0.0, ge=0.0, le=1.0)
    sharpen: float = Field(default=0.0, ge=0.0, le=1.0)

    @model_validator(mode="after")
    def _shares(self) -> AugmentParams:
        if self.webp + self.video > 1:
            raise ValueError("webp and video are shares of what is compressed: together at most 1")
        return self

    @field_validator("quality")
    @classmethod
    def _in_order(cls, value: tuple[int, int]) -> tuple[int, int]:
        if not QUALITIES[0] <= value[0] <= value[1] <= QUALITIES[1]:
            raise ValueError(f"give the lowest and the highest quality, {QUALITIES[0]} to {QUALITIES[1]}")
        return value


def _shifted(image: Image, shares: npt.NDArray[np.float64], grid: int) -> Image:
    """Moved by `shares` (x, y) of the side, rounded to whole steps of `grid` pixels; what comes in is
    reflected.
    """
    height, width = image.shape[:2]
    x, y = (grid * np.rint(shares * [width, height] / grid)).astype(int).tolist()
    most = max(abs(x), abs(y))
    padded = cv2.copyMakeBorder(image, most, most, most, most, cv2.BORDER_REFLECT_101)
    return np.ascontiguousarray(padded[most - y : most - y + height, most - x : most - x + width])


def _covered(image: Image, draws: npt.NDArray[np.float64], colour: npt.NDArray[np.uint8] | np.uint8) -> Image:
    """A rectangle in one colour. draws: float64 [4] in [0, 1): height, width, top, left."""
    side = np.array(image.shape[:2])
    size = (side * (0.1 + 0.3 * draws[:2])).astype(int)
    top, left = ((side - size) * draws[2:]).astype(int).tolist()
    out = image.copy()
    out[top : top + size[0], left : left + size[1]] = colour
    return out


def _erased(image: Image, draws: npt.NDArray[np.float64]) -> Image:
    """A rectangle covered with the image's mean colour."""
    return _covered(image, draws, image.mean((0, 1)).round().astype(np.uint8))


def _turned(image: Image, zoom: float, degrees: float) -> Image:
    """Scaled by exp(zoom) and turned about the centre, bicubic."""
    height, width = image.shape[:2]
    matrix = cv2.getRotationMatrix2D(((width - 1) / 2, (height - 1) / 2), degrees, float(np.exp(zoom)))
    return cv2.warpAffine(
        image, matrix, (width, height), flags=cv2.INTER_CUBIC, borderMode=cv2.BORDER_REFLECT_101
    )


@dataclass(frozen=True)
class _Draws:
    """What one image's augmentation is drawn as; always the same number of draws, in this order."""

    chance: npt.NDArray[np.float64]
    sizes: npt.NDArray[np.float64]
    box: npt.NDArray[np.float64]
    quality: int
    more: npt.NDArray[np.float64]
    noise_seed: int
    sharp: npt.NDArray[np.float64]


def _draws(rng: np.random.Generator, params: AugmentParams) -> _Draws:
    low, high = params.quality
    return _Draws(
        rng.random(5),
        rng.uniform(-1, 1, 6),
        rng.random(4),
        int(rng.integers(low, high + 1)),
        rng.random(8),
        int(rng.integers(2**62)),
        rng.random(3),
    )


def _moved(image: Image, draws: _Draws, params: AugmentParams) -> Image:
    """Flip, shift and scale: what moves pixels."""
    if draws.chance[0] < params.flip:
        image = image[:, ::-1]
    image = _shifted(np.ascontiguousarray(image), params.shift * draws.sizes[1:3], params.grid)
    zoom = params.zoom * draws.sizes[0] if draws.chance[1] < params.scale else 0.0
    degrees = params.rotate * (2 * float(draws.more[0]) - 1)
    return _turned(image, zoom, degrees) if zoom or degrees else image


_SHRINKING = (cv2.INTER_AREA, cv2.INTER_LINEAR)
_ENLARGING = (cv2.INTER_CUBIC, cv2.INTER_LINEAR, cv2.INTER_LANCZOS4)


def _through_small(image: Image, share: float, kernel: int = 0) -> Image:
    """The picture at `share` of its side and back: what a smaller picture has lost is gone.

    kernel: which of the pairs of kernels; 0 is area and cubic.
    """
    height, width = image.shape[:2]
    size = (max(8, round(width * share)), max(8, round(height * share)))
    enlarging, shrinking = _ENLARGING[kernel % 3], _SHRINKING[kernel // 3 % 2]
    return cv2.resize(
        cv2.resize(image, size, interpolation=shrinking), (width, height), interpolation=enlarging
    )


def _sharpened(image: Image, draws: npt.NDArray[np.float64]) -> Image:
    """With an unsharp mask. draws: float64 [2] in [0, 1): how strong, and of which radius (0.4 to 1.2 pixels
    per 64 of side).
    """
    sigma = (0.4 + 0.8 * float(draws[1])) * image.shape[0] / 64
    smooth = cv2.GaussianBlur(image, (0, 0), sigma, borderType=cv2.BORDER_REFLECT_101)
    amount = 0.2 + float(draws[0])
    return np.asarray(cv2.addWeighted(image, 1 + amount, smooth, -amount, 0), np.uint8)


def _tinted(values: npt.NDArray[np.float32], saturation: float) -> npt.NDArray[np.float32]:
    """Saturation times `saturation`: 0 is grey."""
    grey = values @ np.array([0.299, 0.587, 0.114], np.float32)
    return grey[..., None] + np.float32(saturation) * (values - grey[..., None])


def _degraded(image: Image, draws: _Draws, params: AugmentParams) -> Image:
    """Blur, a smaller picture, sharpening, noise, JPEG or WebP: what cameras, sites and messengers do."""
    if draws.chance[2] < params.blur:
        middle, half = (params.blur_most + 0.3) / 2, (params.blur_most - 0.3) / 2
        sigma = (middle + half * draws.sizes[5]) * image.shape[0] / 64
        image = cv2.GaussianBlur(image, (0, 0), sigma, borderType=cv2.BORDER_REFLECT_101)
    if draws.more[1] < params.small:
        share = float(draws.more[2])
        kernel = int(share * 6000) % 6 if params.kernels else 0  # further digits of the same draw
        image = _through_small(image, params.small_least + (0.9 - params.small_least) * share, kernel)
    if draws.sharp[0] < params.sharpen:
        image = _sharpened(image, draws.sharp[1:])
    if draws.more[3] < params.noise:
        noise = np.random.Generator(np.random.PCG64(draws.noise_seed)).standard_normal(
            image.shape, dtype=np.float32
        )
        image = (image + np.float32(6 * draws.more[4]) * noise).round().clip(0, 255).astype(np.uint8)
    if draws.chance[3] < params.jpeg:
        image = _compressed(image, draws, params)
    return image


def _compressed(image: Image, draws: _Draws, params: AugmentParams) -> Image:
    if draws.more[5] >= 1 - params.video:
        low, high = params.quality
        worse = (high - draws.quality) / max(high - low, 1)
        return through_h264(image, round(BEST_CRF + (WORST_CRF - BEST_CRF) * worse))
    return decode(encode(image, "webp" if draws.more[5] < params.webp else "jpeg", draws.quality))


def augment(image: Image, rng: np.random.Generator, params: AugmentParams) -> Image:
    """One augmented copy: flip, shift, scale, turn, light and colour, blur, noise, JPEG or WebP, a covered
    rectangle.

    Args:
        image: uint8 [H, W, 3] RGB.
        rng: all draws come from it, always the same number of them.

    Returns:
        uint8 [H, W, 3].
    """
    draws = _draws(rng, params)
    image = _moved(image, draws, params)
    contrast, brightness = 1 + params.light * draws.sizes[3], 1 + params.light * draws.sizes[4]
    values = image.astype(np.float32)
    mean = values.mean()
    values = ((values - mean) * contrast + mean) * brightness
    saturation = 0.0 if draws.more[6] < params.grey else 1 + params.colour * (2 * float(draws.more[7]) - 1)
    if saturation != 1:
        values = _tinted(values, saturation)
    image = _degraded(values.round().clip(0, 255).astype(np.uint8), draws, params)
    return _erased(image, draws.box) if draws.chance[4] < params.erase else image


def augment_mask(mask: Image, rng: np.random.Generator, params: AugmentParams) -> Image:
    """The forgery mask that belongs to `augment` of its image with an equal `rng`: uint8 [H, W]. Covered
    parts are 0.
    """
    draws = _draws(rng, params)
    mask = _moved(mask, draws, params)
    return _covered(mask, draws.box, np.uint8(0)) if draws.chance[4] < params.erase else mask


def augment_row(image: Image, seed: int, epoch: int, key: str, params: AugmentParams) -> Image:
    """`augment` with the draws of this key in this epoch: the same at any place in any batch, after any
    resume.

    key: what shares its draws, a pair or an image. The halves of a pair that share them differ in the forgery
    alone, as in the training of Shiohara & Yamasaki (CVPR 2022).
    """
    return augment(image, rng_of(seed, "augment", epoch, key), params)
