"""What each method is for: identity from the source, motion from the driver, one picture on both sides."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from generators import forgeries
from generators.forgeries import ForgeryError
from generators.forgeries.geometry import folded_share, triangulate
from generators.forgeries.reenact_warp import moved_points
from generators.forgeries.second_face import with_shape_of
from generators.forgeries.shape_model import MEASURES, measure, shape_model
from manifests.mesh148 import GROUPS
from tests.generators_forgeries.drawn_faces import draw_face, shape_points


def rng(seed: int = 5) -> np.random.Generator:
    return np.random.Generator(np.random.PCG64(seed))


def test_swap_takes_marks_of_the_source_and_colours_of_the_target():
    target, source = draw_face(128, 0), draw_face(128, 1)
    spotted = source.image.copy()
    x, y = (source.landmarks[list(GROUPS["nose"])].mean(0) + np.array([22, 6])).astype(int)
    spotted[y - 3 : y + 3, x - 3 : x + 3] //= 3
    forger = forgeries.get("swap-delaunay")()
    plain, marked = (
        forger.forge(target, source.model_copy(update={"image": image}), rng()).image.astype(float)
        for image in (source.image, spotted)
    )
    difference = np.abs(plain - marked).mean(2)
    assert difference[y - 2 : y + 2, x - 2 : x + 2].mean() > 20
    cheek = np.s_[70:80, 40:50]
    gap = np.abs(plain[cheek].mean((0, 1)) - target.image[cheek].mean((0, 1))).max()
    assert gap < 15 < np.abs(source.image[cheek].mean((0, 1)) - target.image[cheek].mean((0, 1))).max()


def test_swap_takes_the_proportions_of_the_source_inside_the_oval_of_the_target():
    points, own = shape_points(128), shape_points(128) * np.float32(0.7) + np.float32(20)
    eyes = [i for name in ("right_eye", "left_eye") for i in GROUPS[name]]
    own[eyes, 1] += 3  # eyes nearer the nose than in the target
    new = with_shape_of(own, points, 1.0)
    np.testing.assert_array_equal(new[list(GROUPS["oval"])], points[list(GROUPS["oval"])])
    heights = [
        p[list(GROUPS["nose"]), 1].mean() - p[eyes, 1].mean() for p in (points, new, own / np.float32(0.7))
    ]
    assert heights[1] == pytest.approx(heights[2], rel=0.05)
    assert heights[0] - heights[1] > 3
    np.testing.assert_array_equal(with_shape_of(own, points, 0.0), points)
    lips = list(GROUPS["lips_outer"])
    np.testing.assert_array_equal(with_shape_of(own, points, 1.0, ("oval", "lips_outer"))[lips], points[lips])


def test_a_shape_that_would_fold_the_mesh_is_taken_in_part():
    points, own = shape_points(128), shape_points(128)
    own[list(GROUPS["nose"])] -= np.array([0, 40], np.float32)  # a nose above the eyes
    new = with_shape_of(own, points, 1.0)
    assert folded_share(new, triangulate(points), points) < 0.02
    assert np.abs(new - points).max() > 0.5


def test_swap_mirrors_a_source_that_looks_the_other_way():
    target = draw_face(64, 0, yaw=0.1)
    forger = forgeries.get("swap-delaunay")()
    assert forger.forge(target, draw_face(64, 1, yaw=-0.1), rng()).record.params["mirrored"]
    assert not forger.forge(target, draw_face(64, 1, yaw=0.1), rng()).record.params["mirrored"]


def test_swap_refuses_a_pose_too_far():
    with pytest.raises(ForgeryError) as caught:
        forgeries.get("swap-delaunay")({"max_yaw_gap": 0.05}).forge(
            draw_face(64, 0, yaw=0.0), draw_face(64, 1, yaw=0.3), rng()
        )
    assert caught.value.reason == "pose_gap"


def test_swap_keeps_an_open_mouth_of_the_target_where_the_source_has_none():
    target = draw_face(128, 0, mouth_open=0.22)
    made = forgeries.get("swap-delaunay")().forge(target, draw_face(128, 1), rng())
    x, y = target.landmarks[list(GROUPS["lips_inner"])].mean(0).astype(int)
    assert made.mask[y, x] < 64
    assert made.mask[y - 30, x] > 200


@pytest.mark.parametrize("ratio", [0.25, 1.0])
def test_self_blend_scales_its_mask_by_the_ratio(ratio):
    made = forgeries.get("blend-self")({"ratios": (ratio,)}).forge(draw_face(64), None, rng())
    assert made.record.params["ratio"] == ratio
    assert abs(made.mask.max() - 255 * ratio) < 4


def test_self_blend_without_changes_stays_near_its_target():
    still = {
        "rgb_shift": 0,
        "hue": 0,
        "saturation": 0,
        "value": 0,
        "contrast": 0,
        "zoom": 0,
        "shift": 0,
        "detail": 0,
    }
    target = draw_face(64)
    calm = forgeries.get("blend-self")(still).forge(target, None, rng())
    wild = forgeries.get("blend-self")({"ratios": (1.0,)}).forge(target, None, rng())
    error = [np.abs(made.image.astype(int) - target.image).mean() for made in (calm, wild)]
    assert error[0] < 1.0 < 2 * error[0] + 1 < 1 + 2 * error[1]


@pytest.mark.parametrize("name", ["swap-delaunay", "blend-self", "reenact-warp"])
def test_a_grey_picture_stays_grey(name):
    face = draw_face(64)
    grey = np.repeat(face.image.mean(2, keepdims=True).astype(np.uint8), 3, 2)
    other = draw_face(64, 1, mouth_open=0.12)
    made = forgeries.get(name)().forge(face.model_copy(update={"image": grey}), other, rng())
    assert np.ptp(made.image.astype(int), axis=2).max() <= 3


def test_reenacted_shape_has_the_drivers_expression_and_the_targets_proportions():
    model = shape_model()
    points = shape_points(128)
    points[:, 0] = 64 + (points[:, 0] - 64) * 0.9
    delta = np.zeros(len(MEASURES))
    delta[MEASURES.index("mouth_open")] = 0.15
    new, _ = moved_points(points, delta, 128, 128)
    before, after = (measure(model.normalise(p)[0]) for p in (points, new))
    assert after[2] - before[2] == pytest.approx(0.15, abs=0.03)
    np.testing.assert_allclose(np.delete(after - before, 2), 0, atol=0.03)
    eyes = list(GROUPS["right_eye"] + GROUPS["left_eye"])
    assert np.abs(new[eyes] - points[eyes]).max() < 1.5


def test_reenactment_opens_the_mouth_and_fills_it_from_the_driver():
    target, driver = draw_face(128, 0), draw_face(128, 1, mouth_open=0.2)
    made = forgeries.get("reenact-warp")().forge(target, driver, rng())
    assert made.record.params["mouth_filled"]
    assert made.record.params["motion"]["mouth_open"] > 0.1
    x, y = driver.landmarks[list(GROUPS["lips_inner"])].mean(0).astype(int)
    assert made.image[y, x].min() > target.image[y, x].min() + 20


def test_reenactment_refuses_a_driver_that_does_not_move():
    with pytest.raises(ForgeryError) as caught:
        forgeries.get("reenact-warp")().forge(draw_face(64, 0), draw_face(64, 1), rng())
    assert caught.value.reason == "no_motion"


def test_reenactment_ignores_the_drivers_size_and_place():
    target, driver = draw_face(128, 0), draw_face(128, 1, mouth_open=0.1, left_brow=-0.04)
    moved = driver.model_copy(update={"landmarks": (driver.landmarks * 0.7 + 12).astype(np.float32)})
    forger = forgeries.get("reenact-warp")({"fill_mouth": False})
    one, two = (forger.forge(target, d, rng()) for d in (driver, moved))
    assert np.abs(one.image.astype(int) - two.image).max() <= 2


@pytest.mark.parametrize("name", ["swap-delaunay", "blend-self", "reenact-warp"])
def test_brightness_and_sharpness_stay_near_the_targets(name):
    ratios, shifts = [], []
    for seed in range(6):
        target = draw_face(64, seed)
        other = draw_face(64, seed + 1, mouth_open=0.1, yaw=0.08)
        made = forgeries.get(name)().forge(target, other, rng(seed))
        laplace = [
            cv2.Laplacian(i.astype(np.float32).mean(2), cv2.CV_32F).var() for i in (made.image, target.image)
        ]
        ratios.append(laplace[0] / laplace[1])
        shifts.append(made.image.mean() - target.image.mean())
    assert 0.8 < np.median(ratios) < 1.25
    assert abs(np.mean(shifts)) < 5
