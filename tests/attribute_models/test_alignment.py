from __future__ import annotations

import cv2
import numpy as np
import pytest
from scipy import ndimage

from attribute_models.detection.alignment import (
    FITTED,
    TEMPLATE,
    align,
    apply,
    fit_similarity,
    invert,
    similarity,
    warp,
)
from manifests.errors import UsageError


def turned(degrees: float, scale: float, shift: tuple[float, float]) -> np.ndarray:
    a = np.deg2rad(degrees)
    linear = scale * np.array([[np.cos(a), -np.sin(a)], [np.sin(a), np.cos(a)]])
    return np.hstack([linear, np.array(shift)[:, None]])


def spot(size: int, x: float, y: float, sigma: float = 2.0) -> np.ndarray:
    at = np.arange(size) + 0.5
    bell = np.exp(-((at[None, :] - x) ** 2 + (at[:, None] - y) ** 2) / (2 * sigma**2))
    return np.repeat((bell * 255).round().astype(np.uint8)[:, :, None], 3, 2)


def centre_of_mass(image: np.ndarray) -> np.ndarray:
    y, x = ndimage.center_of_mass(image[:, :, 0].astype(float))
    return np.array([x + 0.5, y + 0.5])


def test_a_face_on_the_template_stays():
    np.testing.assert_allclose(similarity(TEMPLATE * 128, 128), [[1, 0, 0], [0, 1, 0]], atol=1e-5)


@pytest.mark.parametrize(
    ("degrees", "scale", "shift"), [(0, 0.5, (3, 4)), (30, 1.7, (-20, 6)), (-170, 0.2, (90, 80))]
)
def test_known_similarity_is_undone(degrees, scale, shift):
    known = turned(degrees, scale, shift)
    matrix = similarity(apply(TEMPLATE * 96, known), 96)
    np.testing.assert_allclose(matrix, invert(known), rtol=1e-4, atol=1e-3)


def test_noisy_points_reach_the_least_squares_optimum():
    rng = np.random.default_rng(3)
    a, b = rng.normal(0, 30, (9, 2)), rng.normal(0, 30, (9, 2))
    rows = np.zeros((18, 4))
    rows[::2] = np.stack([a[:, 0], -a[:, 1], np.ones(9), np.zeros(9)], 1)
    rows[1::2] = np.stack([a[:, 1], a[:, 0], np.zeros(9), np.ones(9)], 1)
    (c, s, x, y), *_ = np.linalg.lstsq(rows, b.reshape(-1), rcond=None)
    np.testing.assert_allclose(fit_similarity(a, b), [[c, -s, x], [s, c, y]], rtol=1e-4, atol=1e-4)


def test_the_nose_does_not_matter():
    five = TEMPLATE * 100
    moved = five.copy()
    moved[2] += 30
    assert 2 not in FITTED
    np.testing.assert_array_equal(similarity(five, 64), similarity(moved, 64))


def test_points_travel_with_pixels():
    image, matrix = spot(100, 40.0, 62.0), turned(25, 0.9, (12, -10))
    found = centre_of_mass(warp(image, matrix, 90, 80, "black"))
    np.testing.assert_allclose(found, apply(np.array([[40.0, 62.0]]), matrix)[0], atol=0.05)


def test_shrinking_keeps_the_place_and_does_not_alias():
    matrix = turned(0, 0.25, (0, 0))
    np.testing.assert_allclose(
        centre_of_mass(warp(spot(128, 50, 70, 6), matrix, 32, 32)), [12.5, 17.5], atol=0.02
    )
    board = (np.indices((128, 128)).sum(0) % 2 * 255).astype(np.uint8)
    small = warp(board, matrix, 32, 32)
    assert abs(small.astype(float) - 127.5).max() < 2


def test_warp_agrees_with_scipy():
    rng = np.random.default_rng(0)
    image = cv2.GaussianBlur(rng.integers(0, 256, (60, 70), dtype=np.uint8), (0, 0), 3)
    matrix = turned(-18, 1.3, (8, 15))
    back = invert(matrix).astype(float)
    rows, columns = np.indices((50, 64)) + 0.5
    x, y = (back[:, :2] @ np.stack([columns.ravel(), rows.ravel()])) + back[:, 2:]
    expected = ndimage.map_coordinates(image.astype(float), [y - 0.5, x - 0.5], order=1, mode="constant")
    got = warp(image, matrix, 64, 50, "black").ravel().astype(float)
    inside = (x > 1) & (x < 69) & (y > 1) & (y < 59)
    assert inside.mean() > 0.5
    assert np.abs(got - expected)[inside].max() <= 1.5


def test_align_shows_the_template(draw_face, face_marks):
    image, tilt = draw_face(256), turned(20, 0.6, (60, 10))
    five = np.insert(face_marks * 256, 2, [128, 147], axis=0)
    crop = align(warp(image, tilt, 256, 256), apply(five, tilt), 128)
    straight = align(image, five, 128)
    assert crop.shape == (128, 128, 3)
    assert np.abs(crop[20:110, 20:110].astype(int) - straight[20:110, 20:110]).mean() < 3
    pupil = align(image, five, 128)[38:43, 39:45].mean()
    assert pupil < crop.mean() - 40


@pytest.mark.parametrize("border", ["reflect", "edge", "black"])
def test_borders(border):
    image = np.full((20, 20, 3), 200, np.uint8)
    out = warp(image, turned(0, 1, (10, 0)), 30, 20, border)
    assert out[10, 2, 0] == (0 if border == "black" else 200)


@pytest.mark.parametrize("five", [np.zeros((5, 2)), np.full((5, 2), np.nan), np.zeros((4, 2))])
def test_points_that_cannot_be_aligned(five):
    with pytest.raises(UsageError):
        similarity(five, 64)


def test_bad_arguments():
    with pytest.raises(UsageError, match="border"):
        warp(np.zeros((4, 4), np.uint8), turned(0, 1, (0, 0)), 4, 4, "wrap")
    with pytest.raises(UsageError, match="resampled"):
        warp(np.zeros((0, 4), np.uint8), turned(0, 1, (0, 0)), 4, 4)
    with pytest.raises(UsageError, match="inverted"):
        invert(np.zeros((2, 3)))


def test_a_margin_shows_more_around_the_same_face():
    five = TEMPLATE * 100 + 60
    image = np.random.default_rng(4).integers(0, 256, (220, 220, 3), dtype=np.uint8)
    wide = align(image, five, 150, margin=0.25)
    np.testing.assert_array_equal(wide[25:125, 25:125], align(image, five, 100))
    np.testing.assert_array_equal(wide, image[35:185, 35:185])
    with pytest.raises(UsageError, match="would cut into the face"):
        align(image, five, 100, margin=-0.3)
