"""Piecewise-affine warps over a Delaunay triangulation, and least-squares similarities.

Coordinates are pixels (x, y) with the picture's corner at (0, 0): the centre of the first pixel is (0.5,
0.5), so points scale with the picture.
"""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt
from PIL import Image as PilImage
from scipy.spatial import Delaunay, QhullError

from generators.forgeries.checks import ForgeryError
from manifests.records import Image

Float = npt.NDArray[np.float32]
Triangles = npt.NDArray[np.int32]
SUBPIXEL_BITS = 6


def supersampling(height: int, width: int) -> int:
    """How many times finer than the picture a warp is sampled: 4 up to 64 pixels, 2 up to 256, then 1."""
    side = max(height, width)
    return 4 if side <= 64 else 2 if side <= 256 else 1


def similarity(source: Float, target: Float) -> npt.NDArray[np.float64]:
    """The least-squares similarity without reflection (Umeyama 1991): float64 [2, 3] with `target ~ M @ (x,
    y, 1)`.

    Args:
        source: float [N, 2], pixels.
        target: float [N, 2], the matching points.
    """
    a, b = source.astype(np.float64), target.astype(np.float64)
    ca, cb = a.mean(0), b.mean(0)
    a, b = a - ca, b - cb
    dot, cross = (a * b).sum(), (a[:, 0] * b[:, 1] - a[:, 1] * b[:, 0]).sum()
    norm = max((a * a).sum(), 1e-12)
    linear = np.array([[dot, -cross], [cross, dot]]) / norm
    return np.column_stack([linear, cb - linear @ ca])


def transform(points: npt.NDArray[np.floating], matrix: npt.NDArray[np.float64]) -> Float:
    """`points` [N, 2] under an affine matrix [2, 3]: float32 [N, 2]."""
    return (points.astype(np.float64) @ matrix[:, :2].T + matrix[:, 2]).astype(np.float32)


def invert(matrix: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """The inverse of an affine matrix [2, 3]."""
    linear = np.linalg.inv(matrix[:, :2])
    return np.column_stack([linear, -linear @ matrix[:, 2]])


def frame(height: int, width: int, margin: float, per_side: int = 4) -> Float:
    """Points around the picture, `margin` pixels outside it: float32 [4 * per_side, 2]."""
    t = np.linspace(0, 1, per_side, endpoint=False)
    side = np.concatenate(
        [
            np.stack([t, 0 * t], 1),
            np.stack([1 + 0 * t, t], 1),
            np.stack([1 - t, 1 + 0 * t], 1),
            np.stack([0 * t, 1 - t], 1),
        ]
    )
    size = np.array([width + 2 * margin, height + 2 * margin])
    return (side * size - margin).astype(np.float32)


def triangulate(points: Float) -> Triangles:
    """Delaunay triangulation of `points` [N, 2]: int32 [T, 3], every triangle clockwise on the screen.

    Raises:
        ForgeryError: `degenerate_landmarks`, where the points span no area.
    """
    try:
        triangles = Delaunay(points.astype(np.float64)).simplices
    except QhullError as error:
        raise ForgeryError(
            "degenerate_landmarks", "landmarks", "cannot be triangulated", "leave this face out"
        ) from error
    swapped = doubled_areas(points, triangles) < 0
    triangles[swapped] = triangles[swapped][:, [0, 2, 1]]
    return np.ascontiguousarray(triangles, np.int32)


def doubled_areas(
    points: npt.NDArray[np.floating], triangles: npt.NDArray[np.integer]
) -> npt.NDArray[np.float64]:
    """Twice the signed area of each triangle: float64 [T]; positive if clockwise on the screen."""
    a, b, c = (points[triangles[:, k]].astype(np.float64) for k in range(3))
    u, v = b - a, c - a
    return u[:, 0] * v[:, 1] - u[:, 1] * v[:, 0]


def folded_share(moved: Float, triangles: Triangles, reference: Float) -> float:
    """The share of the area of `reference` whose triangles are turned over in `moved`; 0 for a warp without
    folds.
    """
    areas = np.abs(doubled_areas(reference, triangles))
    return float(areas[doubled_areas(moved, triangles) < 0].sum() / max(areas.sum(), 1e-12))


def backward_field(
    to_points: Float,
    from_points: Float,
    height: int,
    width: int,
    scale: int = 1,
    triangles: Triangles | None = None,
) -> Float:
    """Where each pixel of the warped picture comes from, piecewise affine over the Delaunay triangles of
    `to_points`.

    Args:
        to_points: float32 [N, 2]; they must surround the picture (see `frame`).
        from_points: float32 [N, 2], the matching points.
        height: of the warped picture, pixels.
        width: of the warped picture, pixels.
        scale: samples per pixel and axis.
        triangles: int32 [T, 3]; the Delaunay triangulation of `to_points` where None.

    Returns:
        float32 [height * scale, width * scale, 2], coordinates (x, y) in the source picture.
    """
    triangles = triangulate(to_points) if triangles is None else triangles
    keep = doubled_areas(to_points, triangles) > 1e-6
    triangles = triangles[keep]
    corners = np.concatenate([to_points[triangles], np.ones((len(triangles), 3, 1))], 2).astype(np.float64)
    affine = np.linalg.solve(corners, from_points[triangles].astype(np.float64)).astype(np.float32)
    label = np.zeros((height, width), np.int32)
    fine = np.rint((to_points.astype(np.float64) - 0.5) * (1 << SUBPIXEL_BITS)).astype(np.int32)
    for index, corner in enumerate(fine[triangles]):
        cv2.fillConvexPoly(label, corner, index, cv2.LINE_8, SUBPIXEL_BITS)
    x = (np.arange(width) + 0.5).astype(np.float32)[None, :, None]
    y = (np.arange(height) + 0.5).astype(np.float32)[:, None, None]
    return finer(x * affine[label, 0] + y * affine[label, 1] + affine[label, 2], scale)


def finer(field: Float, scale: int) -> Float:
    """A backward field with `scale` samples per pixel and axis, bilinear between those it has: exact where it
    is affine.
    """
    height, width = field.shape[:2]
    return (
        field
        if scale == 1
        else cv2.resize(field, (width * scale, height * scale), interpolation=cv2.INTER_LINEAR)
    )


def warp(image: npt.NDArray[np.generic], field: Float, height: int, width: int) -> Float:
    """Sample `image` along a backward field and average down to [height, width].

    Lanczos of 8 taps where the field has one sample per pixel; bicubic, a fifth of the time, where the mean
    of several is taken.

    Args:
        image: uint8 or float32 [H, W] or [H, W, 3].
        field: float32 [height * s, width * s, 2], as `backward_field`.

    Returns:
        float32 [height, width] or [height, width, 3]. Outside the picture it is reflected.
    """
    values = np.ascontiguousarray(image, np.float32)
    low, high = float(values.min()), float(values.max())
    x, y = np.ascontiguousarray(field[..., 0] - 0.5), np.ascontiguousarray(field[..., 1] - 0.5)
    many = field.shape[:2] != (height, width)
    taps = cv2.INTER_CUBIC if many else cv2.INTER_LANCZOS4
    fine = cv2.remap(values, x, y, taps, borderMode=cv2.BORDER_REFLECT_101)
    if many:
        fine = cv2.resize(fine, (width, height), interpolation=cv2.INTER_AREA)
    return np.clip(fine, low, high)


def at_scale(image: Image, points: Float, like: Float) -> tuple[Image, Float]:
    """`image` and `points`, scaled down where the face is much larger than `like`, so that a warp does not
    alias.
    """
    matrix = similarity(points, like)
    zoom = float(np.hypot(matrix[0, 0], matrix[1, 0]))
    if zoom > 0.75:
        return image, points
    height, width = image.shape[:2]
    size = (max(2, round(width * zoom)), max(2, round(height * zoom)))
    small = np.array(PilImage.fromarray(image).resize(size, PilImage.Resampling.LANCZOS))
    return small, (points * np.array([size[0] / width, size[1] / height])).astype(np.float32)
