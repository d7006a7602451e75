"""Bases resampled before they are forged, so that a stored crop's own compression does not tell real from
fake.

A crop that was compressed at the size it is stored at carries traces that any resampling takes away; forging
resamples, so "no traces" reads as "fake", and so does every real face that was cropped from a larger
photograph. A real picture and its fake therefore begin from one and the same resampled base.
"""

from __future__ import annotations

import numpy as np
from PIL import Image as PilImage

from manifests.images import Image
from manifests.records import Points

KERNELS = (
    PilImage.Resampling.BOX,
    PilImage.Resampling.BILINEAR,
    PilImage.Resampling.HAMMING,
    PilImage.Resampling.BICUBIC,
    PilImage.Resampling.LANCZOS,
)
SMALLEST = 32
"""Pixels; no base gets a shorter side."""


def rescaled(
    image: Image,
    landmarks: Points,
    scales: tuple[float, float],
    rng: np.random.Generator,
) -> tuple[Image, Points]:
    """A picture at a scale, with a kernel and moved by a fraction of a pixel, all three drawn; always the
    same number of draws.

    Args:
        image: uint8 [H, W, 3] RGB.
        landmarks: float32 [K, 2], its pixels (x, y).
        scales: smallest and largest share of its sides; drawn evenly between them.
        rng: all draws come from it.

    Returns:
        uint8 [h, w, 3], each side `SMALLEST` or more, and float32 [K, 2] in its pixels. Antialiased where it
        is smaller. One pixel of the sides is lost to the shift.
    """
    scale = rng.uniform(*scales)
    kernel = KERNELS[int(rng.integers(len(KERNELS)))]
    shift = rng.random(2)
    inner = np.array([image.shape[1] - 1, image.shape[0] - 1])
    width, height = np.maximum(np.rint(scale * inner).astype(int), SMALLEST).tolist()
    left, top, right, bottom = map(float, (*shift, *(shift + inner)))
    made = PilImage.fromarray(image).resize((width, height), kernel, box=(left, top, right, bottom))
    places = (landmarks + 0.5 - shift) * (np.array([width, height]) / inner) - 0.5
    return np.array(made), places.astype(np.float32)
