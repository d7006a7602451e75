"""Colour, membrane, detail and masks against what they must measure afterwards."""

from __future__ import annotations

import cv2
import numpy as np

from generators.forgeries import blending, masks
from generators.forgeries.base import compose
from generators.forgeries.checks import signed_area
from tests.generators_forgeries.drawn_faces import draw_face, shape_points


def picture(seed: int, low: float = 30, high: float = 200) -> np.ndarray:
    noise = np.random.default_rng(seed).uniform(low, high, (40, 40, 3)).astype(np.float32)
    return cv2.GaussianBlur(noise, (0, 0), 2) * 0.7 + noise * 0.3


def test_reinhard_gives_the_targets_lab_moments():
    a, b, w = picture(1), picture(2) * 0.6 + 40, np.ones((40, 40), np.float32)
    out = blending.reinhard(a, b, w, w, limit=10)
    lab = [cv2.cvtColor(np.clip(i, 0, 255) / 255, cv2.COLOR_RGB2Lab).reshape(-1, 3) for i in (out, b)]
    np.testing.assert_allclose(lab[0].mean(0), lab[1].mean(0), atol=0.3)
    np.testing.assert_allclose(lab[0].std(0), lab[1].std(0), atol=0.3)


def test_covariance_transfer_gives_the_targets_covariance():
    mix = np.array([[1, 0.4, 0], [0, 0.8, 0.3], [0.1, 0, 0.7]], np.float32)
    a, b, w = picture(1), picture(2) @ mix, np.ones((40, 40), np.float32)
    out = blending.covariance_transfer(a, b, w, w, limit=10)
    np.testing.assert_allclose(out.mean((0, 1)), b.mean((0, 1)), atol=0.01)
    np.testing.assert_allclose(np.cov(out.reshape(-1, 3).T), np.cov(b.reshape(-1, 3).T), rtol=0.02, atol=0.5)


def test_membrane_meets_the_target_and_keeps_gradients():
    y, x = np.mgrid[:48, :48].astype(np.float32)
    target = np.stack([x + 50, y + 60, 0 * x + 90], -1)
    mask = np.zeros((48, 48), np.float32)
    mask[10:38, 10:38] = 1
    pattern = 12 * np.exp(-((x - 24) ** 2 + (y - 24) ** 2) / 20)[..., None]
    out = blending.membrane(target + 35 + pattern, target, mask)
    np.testing.assert_allclose(out[10:38, 10:38], (target + pattern)[10:38, 10:38], atol=0.5)


def test_harmonic_solution_equals_relaxation():
    rng = np.random.default_rng(0)
    values = rng.uniform(0, 50, (14, 14, 3)).astype(np.float32)
    inside = np.zeros((14, 14), bool)
    inside[3:11, 2:12] = True
    solved = values.copy()
    solved[inside] = blending._harmonic(values, inside)
    relaxed = values.astype(float)
    for _ in range(3000):
        mean = (
            np.roll(relaxed, 1, 0)
            + np.roll(relaxed, -1, 0)
            + np.roll(relaxed, 1, 1)
            + np.roll(relaxed, -1, 1)
        ) / 4
        relaxed[inside] = mean[inside]
    np.testing.assert_allclose(solved, relaxed, atol=1e-2)


def test_detail_of_a_blurred_face_comes_back():
    target = draw_face(64).image.astype(np.float32)
    soft = cv2.GaussianBlur(target, (0, 0), 0.5)
    alpha = masks.soft_polygon(masks.face_region(shape_points(64), 0.8, 0.95), 5, 64, 64)
    sharp = blending.match_detail(soft, target, alpha, 6.0)

    def energy(image: np.ndarray) -> float:
        blend = target + alpha[..., None] * (image - target)
        return float(cv2.Laplacian(blend.mean(2), cv2.CV_32F)[alpha > 0.5].var())

    assert energy(soft) < 0.5 * energy(target)
    assert 0.85 * energy(target) < energy(sharp) < 1.15 * energy(target)


def test_bands_add_up():
    image = picture(3)
    coarsest = cv2.GaussianBlur(image, (0, 0), blending.BAND_SIGMAS[-1])
    np.testing.assert_allclose(sum(blending.bands(image)), image - coarsest, atol=1e-3)


def test_compose_is_the_alpha_blend():
    base = draw_face(64).image
    top = np.full((64, 64, 3), 300.0, np.float32)
    mask = np.zeros((64, 64), np.uint8)
    mask[20:40, 20:40] = 255
    mask[10, 10] = 51
    out = compose(base, top, mask)
    assert (out[20:40, 20:40] == 255).all()
    assert (out[mask == 0] == base[mask == 0]).all()
    np.testing.assert_array_equal(out[10, 10], np.rint(base[10, 10] * 0.8 + 255 * 0.2))


def test_filled_area_is_the_polygons_area():
    polygon = shape_points(64)[:40]
    hull = masks.hull(polygon)
    np.testing.assert_allclose(masks.fill(hull, 64, 64).sum(), abs(signed_area(hull)), rtol=0.05)


def test_soft_polygon_stays_inside_and_rises_to_one():
    region = masks.face_region(shape_points(64), 0.5, 0.9)
    soft, hard = masks.soft_polygon(region, 5, 64, 64), masks.fill(region, 64, 64)
    assert not soft[hard == 0].any()
    assert soft.max() == 1
    assert 0.3 * hard.sum() < soft.sum() < hard.sum()


def test_face_region_grows_with_top_and_sides():
    areas = [
        abs(signed_area(masks.face_region(shape_points(64), *a))) for a in ((0, 0.8), (0.5, 0.9), (1, 1))
    ]
    assert areas == sorted(areas)


def test_skin_likeness_sees_a_hand_of_another_colour():
    face = draw_face(128)
    image = face.image.astype(np.float32)
    image[96:116, 56:84] = (30, 60, 200)
    likeness = masks.skin_likeness(image, face.landmarks)
    assert likeness[100:112, 62:78].max() < 0.2
    assert likeness[70:78, 44:50].mean() > 0.7


def test_elastic_moves_by_the_amplitude_and_is_seeded():
    mask = masks.fill(masks.face_region(shape_points(64), 0.8, 0.9), 64, 64)
    one, two = (masks.elastic(mask, 2.0, 6.0, np.random.default_rng(3)) for _ in range(2))
    np.testing.assert_array_equal(one, two)
    assert 0.01 < np.abs(one - mask).mean() < 0.2
