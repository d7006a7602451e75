"""Thin-plate splines: the smoothest displacement of the plane that moves some points where they should go."""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt

Float = npt.NDArray[np.float32]
Matrix = npt.NDArray[np.float64]
GRID = 48
"""Nodes per side of the grid on which a spline is evaluated; between them it is interpolated bicubically."""


def _kernel(squared: Matrix) -> Matrix:
    """r^2 log r, of the squared distance; 0 at 0."""
    return 0.5 * squared * np.log(np.maximum(squared, 1e-12))


def fit(points: npt.NDArray[np.floating], values: npt.NDArray[np.floating], smoothing: float = 0.0) -> Matrix:
    """The spline through `values` at `points` (Bookstein 1989), or near them (Wahba 1990).

    Minimises the sum of squared misses + `smoothing` * N * bending energy, in the unit square of the points.

    Args:
        points: [N, 2], N at least 3, not on a line.
        values: [N, D].

    Returns:
        float64 [N + 3, D]: N kernel weights, then the affine part (constant, x, y).
    """
    p = np.asarray(points, np.float64)
    squared = ((p[:, None] - p[None]) ** 2).sum(2)
    affine = np.column_stack([np.ones(len(p)), p])
    system = np.block(
        [[_kernel(squared) + smoothing * len(p) * np.eye(len(p)), affine], [affine.T, np.zeros((3, 3))]]
    )
    right = np.concatenate([np.asarray(values, np.float64), np.zeros((3, np.shape(values)[1]))])
    return np.linalg.solve(system, right)


def evaluate(spline: Matrix, points: npt.NDArray[np.floating], where: npt.NDArray[np.floating]) -> Matrix:
    """The spline fitted at `points` [N, 2], at `where` [M, 2]: float64 [M, D]."""
    p, q = np.asarray(points, np.float64), np.asarray(where, np.float64)
    squared = ((q[:, None] - p[None]) ** 2).sum(2)
    return _kernel(squared) @ spline[:-3] + np.column_stack([np.ones(len(q)), q]) @ spline[-3:]


def displacement(to_points: Float, from_points: Float, height: int, width: int, smoothing: float) -> Float:
    """Where each pixel comes from, less where it is: float32 [height, width, 2], in pixels.

    Args:
        to_points: float32 [N, 2], pixels with the picture's corner at (0, 0).
        from_points: float32 [N, 2], the matching points.
        smoothing: see `fit`.
    """
    unit = float(max(height, width))
    here = to_points.astype(np.float64) / unit
    spline = fit(here, (from_points - to_points).astype(np.float64) / unit, smoothing)
    rows, columns = min(GRID, height), min(GRID, width)
    x = (np.arange(columns) + 0.5) / columns * width / unit
    y = (np.arange(rows) + 0.5) / rows * height / unit
    nodes = np.stack(np.meshgrid(x, y), -1).reshape(-1, 2)
    coarse = (evaluate(spline, here, nodes) * unit).reshape(rows, columns, 2).astype(np.float32)
    return cv2.resize(coarse, (width, height), interpolation=cv2.INTER_CUBIC)


def folds(field: Float) -> float:
    """The share of pixels where the map `x + field(x)` turns the plane over; 0 for a map without folds."""
    dx = np.gradient(field.astype(np.float64), axis=1)
    dy = np.gradient(field.astype(np.float64), axis=0)
    determinant = (1 + dx[..., 0]) * (1 + dy[..., 1]) - dx[..., 1] * dy[..., 0]
    return float((determinant <= 0).mean())
