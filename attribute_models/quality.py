"""Image quality in one number each: sharpness, brightness, contrast."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from manifests.errors import UsageError


def _grey(image: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
    import cv2

    if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3 or 0 in image.shape:
        raise UsageError(
            f"image {image.dtype} {list(image.shape)}", "cannot be judged", "give uint8 [H, W, 3]"
        )
    return cv2.cvtColor(np.ascontiguousarray(image), cv2.COLOR_RGB2GRAY)


def sharpness(image: npt.NDArray[np.uint8]) -> float:
    """Variance of the 4-neighbour Laplacian of the luma (grey levels squared): higher is sharper.

    image: uint8 [H, W, 3], RGB. It grows as the picture shrinks: compare only pictures of one size.
    Pech-Pacheco et al., "Diatom autofocusing in brightfield microscopy", ICPR 2000.

    Raises:
        UsageError: an image of another type or shape.
    """
    import cv2

    return float(cv2.Laplacian(_grey(image), cv2.CV_64F).var())


def brightness(image: npt.NDArray[np.uint8]) -> float:
    """Mean luma, 0 to 255. image: uint8 [H, W, 3], RGB.

    Raises:
        UsageError: an image of another type or shape.
    """
    return float(_grey(image).mean())


def looks(image: npt.NDArray[np.uint8]) -> tuple[float, float, float]:
    """Brightness, contrast and sharpness: mean luma, its standard deviation (0 to 255), `sharpness`.

    image: uint8 [H, W, 3], RGB; compare images of one size alone.

    Raises:
        UsageError: an image of another type or shape.
    """
    luma = image.astype(np.float64) @ (0.299, 0.587, 0.114)
    return brightness(image), float(luma.std()), sharpness(image)
