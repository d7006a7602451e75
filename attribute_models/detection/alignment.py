"""Bring a face to the template, and back: similarity of five points, warping with antialiasing, paste-back.

Coordinates are (x, y) in pixels with (0, 0) at the outer corner of the first pixel (its centre is at 0.5,
0.5). A matrix is float32 [2, 3] and maps points of the image to points of the crop.
"""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from manifests.errors import UsageError

Image = npt.NDArray[np.uint8]
Points = npt.NDArray[np.float32]
Matrix = npt.NDArray[np.float32]

TEMPLATE: Points = np.array(
    [[0.325, 0.315], [0.675, 0.315], [0.5, 0.545], [0.352, 0.69], [0.648, 0.69]], np.float32
)
"""Where the scheme `five` comes to lie, in units of the crop's side."""
FITTED = (0, 1, 3, 4)
"""The points that the similarity is fitted on: eyes and mouth corners. The nose tip moves with yaw."""
BORDERS = {"reflect": "BORDER_REFLECT_101", "edge": "BORDER_REPLICATE", "black": "BORDER_CONSTANT"}
"""What lies outside an image -> OpenCV's name of it."""
_MAX_OVERSAMPLING = 16
LEAST_MARGIN = -0.25
"""At this share of the template's side, cut off on either side, half of it is left."""


def fit_similarity(source: npt.NDArray[np.floating], target: npt.NDArray[np.floating]) -> Matrix:
    """Least-squares rotation, uniform scale and shift from `source` to `target` (no reflection).

    Args:
        source: float [K, 2], K at least 2.
        target: float [K, 2], the matching points.

    Returns:
        float32 [2, 3]. Umeyama, "Least-squares estimation of transformation parameters between two point
        patterns", PAMI 1991; in two dimensions the optimum is the complex ratio used here.

    Raises:
        UsageError: not finite, or all source points are one point.
    """
    a, b = np.asarray(source, np.float64), np.asarray(target, np.float64)
    if (
        a.shape != b.shape
        or a.ndim != 2
        or a.shape[1] != 2
        or not (np.isfinite(a).all() and np.isfinite(b).all())
    ):
        raise UsageError(
            f"points {list(a.shape)}", "cannot be aligned", "give finite points [K, 2] on both sides"
        )
    centre_a, centre_b = a.mean(0), b.mean(0)
    za, zb = (a - centre_a) @ [1, 1j], (b - centre_b) @ [1, 1j]
    spread = float((za.conj() * za).real.sum())
    ratio = complex((za.conj() * zb).sum()) / spread if spread > 1e-12 else 0j
    if abs(ratio) < 1e-9:
        raise UsageError("points", "fall on one point, or have nothing in common", "detect the face again")
    linear = np.array([[ratio.real, -ratio.imag], [ratio.imag, ratio.real]])
    return np.hstack([linear, (centre_b - linear @ centre_a)[:, None]]).astype(np.float32)


def similarity(five: npt.NDArray[np.floating], size: int, margin: float = 0.0) -> Matrix:
    """The matrix from an image to its aligned crop of `size` pixels: float32 [2, 3].

    Args:
        five: float [5, 2], pixels.
        margin: what is shown besides the template's square on every side, as a share of its side; the face
            shrinks accordingly. Models of this package are made for 0.

    Raises:
        UsageError: not five finite points, points that coincide, or a margin of `LEAST_MARGIN` or less.
    """
    if not margin > LEAST_MARGIN:
        raise UsageError(
            f"margin {margin}", "would cut into the face", f"give a share above {LEAST_MARGIN}, e.g. 0.2"
        )
    if np.shape(five) != (5, 2):
        raise UsageError(f"points {list(np.shape(five))}", "are not of scheme five", "give float [5, 2]")
    template = (TEMPLATE[list(FITTED)].astype(np.float64) + margin) / (1 + 2 * margin)
    return fit_similarity(np.asarray(five)[list(FITTED)], template * size)


def apply(points: npt.NDArray[np.floating], matrix: npt.NDArray[np.floating]) -> Points:
    """Points under a matrix: float [..., 2] to float32 [..., 2]."""
    wide = np.asarray(matrix, np.float64)
    return (np.asarray(points, np.float64) @ wide[:, :2].T + wide[:, 2]).astype(np.float32)


def invert(matrix: npt.NDArray[np.floating]) -> Matrix:
    """The matrix that undoes `matrix`: float32 [2, 3].

    Raises:
        UsageError: it cannot be undone.
    """
    wide = np.asarray(matrix, np.float64)
    if abs(np.linalg.det(wide[:, :2])) < 1e-12:
        raise UsageError("matrix", "cannot be inverted", "give the matrix of a similarity")
    back = np.linalg.inv(wide[:, :2])
    return np.hstack([back, -back @ wide[:, 2:]]).astype(np.float32)


def _centred(matrix: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """From pixel corners to OpenCV's pixel centres: shift by half a pixel before and after."""
    out = matrix.copy()
    out[:, 2] += matrix[:, :2] @ [0.5, 0.5] - 0.5
    return out


def warp(
    image: Image,
    matrix: npt.NDArray[np.floating],
    width: int,
    height: int,
    border: str = "reflect",
) -> Image:
    """Resample an image under a matrix, antialiased where it shrinks.

    Shrinking draws each pixel as the mean of k x k bilinear samples, k = the shrinking factor rounded up.

    Args:
        image: uint8 [H, W] or [H, W, C].
        matrix: [2, 3], image to output.
        border: `reflect`, `edge` or `black`.

    Returns:
        uint8 [height, width] or [height, width, C].

    Raises:
        UsageError: unknown border, an empty image, or a shrinking of more than `_MAX_OVERSAMPLING` times.
    """
    if border not in BORDERS:
        raise UsageError(f"border {border!r}", "is not known", f"choose one of: {', '.join(BORDERS)}")
    import cv2

    wide = np.asarray(matrix, np.float64)
    scale = math.sqrt(abs(np.linalg.det(wide[:, :2])))
    if image.dtype != np.uint8 or image.size == 0 or scale < 1 / _MAX_OVERSAMPLING:
        raise UsageError(
            f"image {image.dtype} {list(image.shape)}",
            f"cannot be resampled at scale {scale:.3g}",
            f"give uint8 images and a scale of at least 1/{_MAX_OVERSAMPLING}",
        )
    k = max(1, math.ceil(1 / scale - 1e-6))
    out = cv2.warpAffine(
        np.ascontiguousarray(image),
        _centred(wide * k),
        (width * k, height * k),
        flags=cv2.INTER_LINEAR,
        borderMode=getattr(cv2, BORDERS[border]),
    )
    if k == 1:
        return out
    rows = out.reshape(height, k, width, k, *out.shape[2:]).astype(np.float32)
    return np.rint(rows.mean(axis=(1, 3))).astype(np.uint8)


def align(
    image: Image,
    five: npt.NDArray[np.floating],
    size: int = 128,
    border: str = "reflect",
    margin: float = 0.0,
) -> Image:
    """The aligned square crop of one face: uint8 [size, size, 3].

    Args:
        image: uint8 [H, W, 3].
        five: float [5, 2], pixels of the image.
        border: what lies outside the image: `reflect`, `edge` or `black`.
        margin: as `similarity`.

    Raises:
        UsageError: points that cannot be aligned, unknown border, a margin out of range.
    """
    return warp(image, similarity(five, size, margin), size, size, border)
