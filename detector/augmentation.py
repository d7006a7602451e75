"""Label-blind augmentation: the same draws for real and fake, seeded by (seed, epoch, image), never by the label.

Kept mild where it would wipe out what a blend leaves behind: small shifts and scales, some blur, some JPEG.
"""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt
from pydantic import Field

from manifests.images import Image, decode, encode
from manifests.registry import Params
from manifests.seeding import rng_of


class AugmentParams(Params):
    """Chances and ranges. scale, shift: of the image side. light: brightness and contrast factor, +-.

    jpeg, blur: chance per image; quality 60 to 95; sigma 0.3 to 0.9 pixels per 64 pixels of side.
    """

    flip: float = Field(default=0.5, ge=0.0, le=1.0)
    geometry: float = Field(default=0.5, ge=0.0, le=1.0)
    scale: float = Field(default=0.06, ge=0.0, le=0.5)
    shift: float = Field(default=0.04, ge=0.0, le=0.5)
    light: float = Field(default=0.15, ge=0.0, le=0.9)
    jpeg: float = Field(default=0.15, ge=0.0, le=1.0)
    blur: float = Field(default=0.1, ge=0.0, le=1.0)


def _geometry(image: Image, params: AugmentParams, draws: npt.NDArray[np.float64]) -> Image:
    height, width = image.shape[:2]
    zoom = 1 + params.scale * draws[0]
    centre = (np.array([width, height]) - 1) / 2
    offset = centre - zoom * centre + params.shift * draws[1:3] * [width, height]
    matrix = np.array([[zoom, 0, offset[0]], [0, zoom, offset[1]]])
    return cv2.warpAffine(image, matrix, (width, height), flags=cv2.INTER_CUBIC, borderMode=cv2.BORDER_REFLECT_101)


def augment(image: Image, rng: np.random.Generator, params: AugmentParams) -> Image:
    """One augmented copy: flip, scale and shift, brightness and contrast, blur, JPEG.

    Args:
        image: uint8 [H, W, 3] RGB. rng: all draws come from it, always the same number of them.

    Returns:
        uint8 [H, W, 3].
    """
    chance, sizes = rng.random(5), rng.uniform(-1, 1, 6)
    quality = int(rng.integers(60, 96))
    if chance[0] < params.flip:
        image = image[:, ::-1]
    image = np.ascontiguousarray(image)
    if chance[1] < params.geometry:
        image = _geometry(image, params, sizes[:3])
    contrast, brightness = 1 + params.light * sizes[3], 1 + params.light * sizes[4]
    values = image.astype(np.float32)
    mean = values.mean()
    image = (((values - mean) * contrast + mean) * brightness).round().clip(0, 255).astype(np.uint8)
    if chance[2] < params.blur:
        sigma = (0.6 + 0.3 * sizes[5]) * image.shape[0] / 64
        image = cv2.GaussianBlur(image, (0, 0), sigma, borderType=cv2.BORDER_REFLECT_101)
    if chance[3] < params.jpeg:
        image = decode(encode(image, "jpeg", quality))
    return image


def augment_row(image: Image, seed: int, epoch: int, image_id: str, params: AugmentParams) -> Image:
    """`augment` with the draws of this image in this epoch: the same at any place in any batch, after any resume."""
    return augment(image, rng_of(seed, "augment", epoch, image_id), params)
