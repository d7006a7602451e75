"""Cartoon faces with exact mesh148 landmarks: no person's picture is needed to test a forgery."""

from __future__ import annotations

import cv2
import numpy as np

from generators.forgeries.geometry import transform
from generators.forgeries.shape_model import MEASURES, shape_model
from manifests.mesh148 import GROUPS
from manifests.records import Face

SKINS = ((224, 182, 150), (120, 80, 58), (198, 152, 110), (240, 205, 180))


def shape_points(size: int, **measures: float) -> np.ndarray:
    """The mean shape with some measures changed, in a picture of `size` pixels: float32 [148, 2]."""
    model = shape_model()
    delta = np.array([measures.get(name, 0.0) for name in MEASURES])
    shape = model.mean + np.tensordot(delta, model.modes, 1)
    eye_distance = 0.34 * size
    return transform(shape, np.array([[eye_distance, 0, 0.5 * size], [0, eye_distance, 0.36 * size]]))


def draw_face(
    size: int = 64, seed: int = 0, name: str = "", cell: str = "White/Male", **measures: float
) -> Face:
    """A drawn face: backdrop, hair, skin, brows, eyes, nose, lips, with noise and shading of its own."""
    rng = np.random.default_rng(seed)
    points = shape_points(size, **measures)
    fine, scale = 4, 4 * size
    y, x = np.mgrid[:scale, :scale] / scale
    image = np.stack([60 + 120 * x, 90 + 60 * y, 140 - 50 * x], -1) + rng.uniform(-15, 15, 3)
    skin = np.array(SKINS[seed % len(SKINS)], float)

    def paint(polygon: np.ndarray, colour: np.ndarray | tuple[float, ...]) -> None:
        layer = np.zeros((scale, scale), np.uint8)
        cv2.fillPoly(layer, [np.rint(polygon * fine).astype(np.int32)], 1)
        image[layer > 0] = colour

    oval = points[list(GROUPS["oval"])]
    paint(
        (oval - oval.mean(0)) * [1.1, 1.08] + oval.mean(0) - [0, 0.04 * size], (45 + 10 * seed % 40, 32, 24)
    )
    paint(oval, skin)
    for side in ("right", "left"):
        paint(cv2.convexHull(points[list(GROUPS[f"{side}_brow"])])[:, 0], (50, 36, 30))
        eye = points[list(GROUPS[f"{side}_eye"])]
        paint(eye, (235, 235, 232))
        paint(eye.mean(0) + (eye - eye.mean(0)) * [0.35, 0.9], (40 + 20 * (seed % 3), 30, 25))
    paint(cv2.convexHull(points[list(GROUPS["nose"])])[:, 0], skin * 0.9)
    paint(points[list(GROUPS["lips_outer"])], skin * [0.85, 0.55, 0.6])
    paint(points[list(GROUPS["lips_inner"])], (240, 236, 230))
    image *= (0.85 + 0.3 * x)[..., None]
    small = cv2.resize(image, (size, size), interpolation=cv2.INTER_AREA) + rng.normal(0, 3, (size, size, 1))
    return Face(
        image_id=name or f"face-{seed}",
        image=np.clip(small, 0, 255).astype(np.uint8),
        landmarks=points,
        landmark_scheme="mesh148",
        cell=cell,
        identity_id=f"person-{seed}",
    )
