"""Warps and shapes against independent oracles: scipy's interpolator, OpenCV's affine warp, known
transforms.
"""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from scipy.interpolate import LinearNDInterpolator
from scipy.spatial import Delaunay

from generators.forgeries import geometry
from generators.forgeries.checks import ForgeryError, signed_area
from generators.forgeries.shape_model import MEASURES, fit, measure, shape_model
from manifests.mesh148 import GROUPS, MIRROR
from tests.generators_forgeries.drawn_faces import draw_face, shape_points


def surrounded(size: int, seed: int = 0) -> np.ndarray:
    inner = np.random.default_rng(seed).uniform(8, size - 8, (30, 2)).astype(np.float32)
    return np.concatenate([inner, geometry.frame(size, size, 4.0)])


@pytest.mark.parametrize(("scale", "share", "near"), [(1, 0.8, 1e-3), (2, 0.95, 0.05)])
def test_field_equals_scipys_piecewise_linear_interpolation(scale: int, share: float, near: float):
    to_points = surrounded(48)
    from_points = to_points + np.random.default_rng(1).normal(0, 0.4, to_points.shape).astype(np.float32)
    field = geometry.backward_field(to_points, from_points, 48, 48, scale=scale)
    y, x = (np.mgrid[: 48 * scale, : 48 * scale] + 0.5) / scale
    oracle = LinearNDInterpolator(Delaunay(to_points.astype(float)), from_points.astype(float))(x, y)
    distance = np.abs(field - oracle).max(-1)[
        scale:-scale, scale:-scale
    ]  # at the rim, finer samples are the nearest coarse ones
    assert np.quantile(distance, share) < near
    assert distance.mean() < 0.02  # a pixel on an edge may be given to the neighbouring triangle
    assert distance.max() < 1.4


def test_identity_warp_returns_the_picture():
    image = draw_face(48).image
    points = surrounded(48)
    same = geometry.warp(image, geometry.backward_field(points, points, 48, 48, scale=1), 48, 48)
    assert np.abs(same - image).max() < 0.6


def test_known_affine_is_recovered_and_agrees_with_opencv():
    smooth = cv2.GaussianBlur(draw_face(96).image.astype(np.float32), (0, 0), 1.5)
    matrix = np.array([[0.9, 0.2, 3.0], [-0.15, 1.05, 2.0]])
    to_points = surrounded(96)
    field = geometry.backward_field(to_points, geometry.transform(to_points, matrix), 96, 96, scale=2)
    ours = geometry.warp(smooth, field, 96, 96)
    shifted = matrix.copy()
    shifted[:, 2] += matrix[:, :2] @ [0.5, 0.5] - 0.5
    theirs = cv2.warpAffine(
        smooth,
        shifted,
        (96, 96),
        flags=cv2.INTER_CUBIC | cv2.WARP_INVERSE_MAP,
        borderMode=cv2.BORDER_REFLECT_101,
    )
    assert np.abs(ours - theirs)[4:-4, 4:-4].mean() < 0.6


def test_similarity_recovers_rotation_scale_shift_and_inverts():
    points = shape_points(64)
    angle = 0.4
    truth = np.array(
        [[1.3 * np.cos(angle), -1.3 * np.sin(angle), 5], [1.3 * np.sin(angle), 1.3 * np.cos(angle), -7]]
    )
    moved = geometry.transform(points, truth)
    found = geometry.similarity(points, moved)
    np.testing.assert_allclose(found, truth, atol=1e-4)
    np.testing.assert_allclose(geometry.transform(moved, geometry.invert(found)), points, atol=1e-3)


def test_folds_are_counted():
    square = np.array([[0, 0], [10, 0], [10, 10], [0, 10], [5, 5]], np.float32)
    triangles = geometry.triangulate(square)
    assert geometry.folded_share(square, triangles, square) == 0
    pulled = square.copy()
    pulled[4] = [15, 5]
    assert geometry.folded_share(pulled, triangles, square) == pytest.approx(0.25)


def test_collinear_points_are_refused():
    with pytest.raises(ForgeryError) as caught:
        geometry.triangulate(np.stack([np.arange(9.0), np.arange(9.0)], 1).astype(np.float32))
    assert caught.value.reason == "degenerate_landmarks"


def test_a_larger_source_is_scaled_down_with_its_points():
    face = draw_face(256)
    image, points = geometry.at_scale(face.image, face.landmarks, shape_points(64))
    assert image.shape == (64, 64, 3)
    np.testing.assert_allclose(points, shape_points(64), atol=0.1)


def test_mean_shape_is_a_symmetric_face():
    model = shape_model()
    mirrored = (model.mean * [-1, 1])[MIRROR]
    assert np.abs(mirrored - model.mean).max() < 0.004
    assert signed_area(model.mean[list(GROUPS["oval"])]) > 1.0
    for eye, x in (("right_eye", -0.5), ("left_eye", 0.5)):
        np.testing.assert_allclose(model.mean[list(GROUPS[eye])].mean(0), [x, 0], atol=0.003)


@pytest.mark.parametrize("name", MEASURES)
def test_a_mode_changes_its_measure_and_no_other(name):
    model, index = shape_model(), MEASURES.index(name)
    step = measure(model.mean + model.modes[index]) - measure(model.mean)
    expected = np.eye(len(MEASURES))[index]
    np.testing.assert_allclose(step, expected, atol=0.03)


def test_fit_finds_the_modes_that_made_the_shapes():
    rng, model = np.random.default_rng(0), shape_model()
    deltas = rng.normal(0, model.spread, (300, len(MEASURES)))
    shapes = model.mean + np.tensordot(deltas, model.modes, 1)
    found = fit((shapes * 40 + 60).astype(np.float32))
    np.testing.assert_allclose(found.mean, model.mean, atol=0.02)
    lips = list(GROUPS["lips_outer"])
    ours, theirs = (m.modes[MEASURES.index("mouth_open")][lips, 1] for m in (found, model))
    assert np.corrcoef(ours, theirs)[0, 1] > 0.98
