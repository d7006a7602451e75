"""A linear model of face shape in `mesh148`: a mean shape and one mode per pose or expression measure.

Each of the `MEASURES` is a number read off a shape (how wide the mouth is, how open the eyes, ...). A mode
says how all 148 points move on average when one measure changes by 1 and the others stay: the coefficients of
a multivariate linear regression of shapes on measures (`fit`). What the measures do not explain is the
person's own proportions, and stays. So `move` brings a driver's pose and expression to a target and keeps the
target's identity, in the manner of expression transfer with a linear face model (Thies et al., "Face2Face",
CVPR 2016, there in 3D; here 2D, ours).

Canonical frame: the eyes' centres at (-0.5, 0) and (0.5, 0), y downwards; the unit is their distance.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import numpy.typing as npt

from generators.forgeries.geometry import similarity, transform
from generators.forgeries.shape_constants import MEAN_MILLI, MODES_MILLI, SPREAD_MILLI
from manifests.mesh148 import GROUPS, INDICES, MIRROR

Float = npt.NDArray[np.float32]
Matrix = npt.NDArray[np.float64]

MEASURES = (
    "yaw",
    "pitch",
    "mouth_open",
    "mouth_width",
    "corner_drop",
    "right_brow",
    "left_brow",
    "right_eye",
    "left_eye",
)
MIRRORED = (0, 1, 2, 3, 4, 6, 5, 8, 7)
"""The measure that each becomes in a mirror; `yaw` also changes its sign."""


def at(*indices: int) -> list[int]:
    """Positions of MediaPipe indices among the 148 points."""
    return [INDICES.index(i) for i in indices]


RIGID = at(33, 133, 362, 263, 168, 6, 197, 195, 5, 4, 1, 2, 98, 327)
"""Eye corners and nose: the points that expressions move least; faces are normalised on them."""


@dataclass(frozen=True)
class ShapeModel:
    """mean: float64 [148, 2]; modes: float64 [9, 148, 2], per unit of a measure; spread: float64 [9],
    deviations.
    """

    mean: Matrix
    modes: Matrix
    spread: Matrix

    def normalise(self, points: Float) -> tuple[Float, Matrix]:
        """`points` [148, 2] in the canonical frame, and the similarity [2, 3] from pixels that brought them
        there.
        """
        matrix = similarity(points[RIGID], self.mean[RIGID].astype(np.float32))
        return transform(points, matrix), matrix


def measure(shape: npt.NDArray[np.floating]) -> Matrix:
    """The `MEASURES` of shapes in the canonical frame: float64 [..., 9] from [..., 148, 2]."""
    p = np.asarray(shape, np.float64)

    def x(*i: int) -> Matrix:
        return p[..., at(*i), 0].mean(-1)

    def y(*i: int) -> Matrix:
        return p[..., at(*i), 1].mean(-1)

    def centre(group: str) -> Matrix:
        return p[..., list(GROUPS[group]), 1].mean(-1)

    return np.stack(
        [
            x(1, 4) - x(33, 133, 362, 263),
            y(2) - y(1, 4),
            y(14, 87, 317) - y(13, 82, 312),
            x(291) - x(61),
            y(61, 291) - y(0, 17),
            centre("right_brow") - y(33, 133),
            centre("left_brow") - y(263, 362),
            y(145, 144, 153) - y(159, 160, 158),
            y(374, 373, 380) - y(386, 387, 385),
        ],
        -1,
    )


def fit(points: Float, rounds: int = 3) -> ShapeModel:
    """Fit the model to many faces: generalised Procrustes on the rigid points, then linear regression on the
    measures.

    Every face is also used mirrored, so the model is symmetric.

    Args:
        points: float32 [N, 148, 2], pixels.
    """
    mirrored = (points * np.array([-1, 1], np.float32))[:, MIRROR]
    points = np.concatenate([points, mirrored])
    mean = _canonical(points.mean(0).astype(np.float64))
    for _ in range(rounds):
        shapes = np.stack(
            [transform(p, similarity(p[RIGID], mean[RIGID].astype(np.float32))) for p in points]
        )
        mean = _canonical(shapes.mean(0).astype(np.float64))
    values = measure(shapes)
    design = np.column_stack([np.ones(len(values)), values - values.mean(0)])
    solution, *_ = np.linalg.lstsq(design, shapes.reshape(len(shapes), -1).astype(np.float64), rcond=None)
    return ShapeModel(mean, solution[1:].reshape(len(MEASURES), len(INDICES), 2), values.std(0))


def _canonical(shape: Matrix) -> Matrix:
    eyes = np.stack([shape[list(GROUPS[eye])].mean(0) for eye in ("right_eye", "left_eye")]).astype(
        np.float32
    )
    matrix = similarity(eyes, np.array([[-0.5, 0], [0.5, 0]], np.float32))
    return shape @ matrix[:, :2].T + matrix[:, 2]


@lru_cache(maxsize=1)
def shape_model() -> ShapeModel:
    """The model that comes with the project; see `shape_constants` for where it is from."""

    def read(text: str) -> Matrix:
        return np.array(text.split(), np.float64) / 1000

    return ShapeModel(
        read(MEAN_MILLI).reshape(-1, 2), read(MODES_MILLI).reshape(len(MEASURES), -1, 2), read(SPREAD_MILLI)
    )
