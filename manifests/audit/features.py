"""Trivial features of an image file: what could tell real from fake without looking at the face.

Two kinds. `file`: bytes, container, size, JPEG tables, chroma subsampling, EXIF, other metadata. `pixel`:
border rows, brightness, colour means, noise, sharpness, slope of the power spectrum. METHODS section 6;
GenImage's real JPEG against fake PNG and the silent starts of Smeu et al. (CVPR 2025) are of the first kind.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from manifests.errors import DataError, MissingError
from manifests.images import Image, decode, opened, read_bytes
from manifests.picture_metadata import counted, tag_count
from manifests.watching import watched

FILE_FEATURES = (
    "bytes",
    "is_jpeg",
    "is_png",
    "is_webp",
    "width",
    "height",
    "jpeg_luma_table",
    "jpeg_chroma_table",
    "chroma_subsampling",
    "exif_tags",
    "metadata_entries",
)
PIXEL_FEATURES = (
    "border",
    "border_gradient",
    "brightness",
    "contrast",
    "red",
    "green",
    "blue",
    "noise",
    "sharpness",
    "spectrum_slope",
)
FEATURES = FILE_FEATURES + PIXEL_FEATURES
SMALLEST = 8
Floats = npt.NDArray[np.float64]


def file_features(data: bytes) -> list[float]:
    """The `FILE_FEATURES` of an encoded image: float [11].

    Raises:
        DataError: no image that can be opened.
    """
    quiet, tags = counted(data)
    with opened(quiet) as image:
        tables = getattr(image, "quantization", None) or {}
        layers = getattr(image, "layer", None) or []
        subsampling = float(layers[0][1] * 10 + layers[0][2]) if layers else 0.0
        known = {
            "jfif",
            "jfif_version",
            "jfif_unit",
            "jfif_density",
            "progressive",
            "progression",
            "loop",
            "timestamp",
            "duration",
            "background",
        }
        extra = [key for key in image.info if key not in known]
        return [
            len(data),
            image.format == "JPEG",
            image.format == "PNG",
            image.format == "WEBP",
            image.width,
            image.height,
            float(np.mean(tables[0])) if 0 in tables else 0.0,
            float(np.mean(tables[1])) if 1 in tables else 0.0,
            subsampling,
            tag_count(image.info.get("exif", b"")) if tags is None else tags,
            len(extra),
        ]


def spectrum_slope(grey: Floats) -> float:
    """Slope of log power against log frequency, radially averaged between 0.1 and 0.45 cycles per pixel."""
    window = np.outer(np.hanning(grey.shape[0]), np.hanning(grey.shape[1]))
    power = np.abs(np.fft.fft2((grey - grey.mean()) * window)) ** 2
    frequency = np.hypot(np.fft.fftfreq(grey.shape[0])[:, None], np.fft.fftfreq(grey.shape[1])[None])
    inside = (frequency > 0.1) & (frequency < 0.45)
    slope = np.polyfit(np.log(frequency[inside]), np.log(power[inside] + 1e-6), 1)[0]
    return float(slope)


def pixel_features(image: Image) -> list[float]:
    """The `PIXEL_FEATURES` of uint8 [H, W, 3]: float [10].

    noise: median absolute value of the difference from a 3 x 3 median; sharpness: log variance of the
    Laplacian; border: mean grey of the outermost pixels; border_gradient: mean step from them to the next.
    """
    rgb = image.astype(np.float64)
    grey = rgb @ np.array([0.299, 0.587, 0.114])
    edge = np.concatenate([grey[0], grey[-1], grey[:, 0], grey[:, -1]])
    inner = np.concatenate([grey[1], grey[-2], grey[:, 1], grey[:, -2]])
    noise = np.abs(grey - ndimage.median_filter(grey, 3))
    return [
        float(edge.mean()),
        float(np.abs(edge - inner).mean()),
        float(grey.mean()),
        float(grey.std()),
        *(float(rgb[:, :, c].mean()) for c in range(3)),
        float(np.log1p(noise.mean())),
        float(np.log1p(ndimage.laplace(grey).var())),
        spectrum_slope(grey),
    ]


def features_of(path: Path) -> list[float]:
    """All `FEATURES` of one file.

    Raises:
        DataError: the file is missing, not a readable image, or below 8 pixels a side; the path is in the
            message.
    """
    try:
        data = read_bytes(path)
    except MissingError as error:
        raise DataError(
            str(path), "is not there, but the manifest names it", "make the dataset again"
        ) from error
    image = decode(data, str(path))
    if min(image.shape[:2]) < SMALLEST:
        why = f"has {image.shape[1]} x {image.shape[0]} pixels, the audit needs {SMALLEST} a side"
        raise DataError(str(path), why, "remove the image")
    return [*map(float, file_features(data)), *pixel_features(image)]


def feature_matrix(paths: list[Path]) -> Floats:
    """float64 [N, len(FEATURES)]; errors as `features_of`."""
    found = [features_of(path) for path in watched(paths, "features", "pictures")]
    return np.array(found, np.float64).reshape(len(paths), len(FEATURES))
