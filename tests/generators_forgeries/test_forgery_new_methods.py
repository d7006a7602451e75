"""blend-xray, mouth-swap, reenact-tps and the thin-plate spline against what they must do."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.interpolate import RBFInterpolator

from generators import forgeries
from generators.forgeries import FORGERIES, ForgeryError, thin_plate
from generators.forgeries.mouth_swap import LIPS, mouth_of, mouth_region
from generators.forgeries.reenact_tps import asymmetry, bend
from generators.forgeries.shape_model import MEASURES, at, measure, shape_model
from manifests.mesh148 import GROUPS, MIRROR
from tests.generators_forgeries.drawn_faces import draw_face, shape_points


def rng(seed: int = 5) -> np.random.Generator:
    return np.random.Generator(np.random.PCG64(seed))


def test_spline_equals_scipys():
    draw = np.random.default_rng(0)
    points, values, where = (
        draw.uniform(0, 1, (40, 2)),
        draw.normal(0, 0.1, (40, 2)),
        draw.uniform(0, 1, (25, 2)),
    )
    oracle = RBFInterpolator(points, values, kernel="thin_plate_spline")(where)
    np.testing.assert_allclose(
        thin_plate.evaluate(thin_plate.fit(points, values), points, where), oracle, atol=1e-8
    )


def test_spline_moves_its_points_and_an_affine_map_is_exact():
    points = shape_points(128)
    shifted = (points * np.float32(1.1) + np.array([3, -4], np.float32)).astype(np.float32)
    field = thin_plate.displacement(shifted, points, 128, 128, 0.0)
    x, y = 64, 50
    np.testing.assert_allclose(
        field[y, x], ((x + 0.5 - 3) / 1.1 - x - 0.5, (y + 0.5 + 4) / 1.1 - y - 0.5), atol=1e-2
    )


def test_smoothing_straightens_the_spline():
    draw = np.random.default_rng(1)
    points, values = draw.uniform(0, 1, (30, 2)), draw.normal(0, 0.1, (30, 1))
    miss = [
        float(np.abs(thin_plate.evaluate(thin_plate.fit(points, values, s), points, points) - values).mean())
        for s in (0.0, 1e-3, 1e-1)
    ]
    assert miss[0] < 1e-8 < miss[1] < miss[2]


def test_folds_sees_a_fold():
    x = np.arange(40, dtype=np.float32)
    calm, folded = np.zeros((40, 40, 2), np.float32), np.zeros((40, 40, 2), np.float32)
    folded[..., 0] = 12 * np.sin(x / 4)[None]
    assert thin_plate.folds(calm) == 0 < thin_plate.folds(folded)


def test_bend_moves_the_landmarks_and_leaves_the_frame():
    model, points = shape_model(), shape_points(128)
    delta = np.zeros(len(MEASURES))
    delta[MEASURES.index("mouth_open")] = 0.12
    new, shift = bend(points, np.tensordot(delta, model.modes, 1), 128, 128, 1e-6)
    before, after = (measure(model.normalise(p)[0]) for p in (points, new))
    assert (after - before)[2] == pytest.approx(0.12, abs=0.03)
    chin = new[at(17)[0]]
    moved = shift[int(chin[1]), int(chin[0])]
    np.testing.assert_allclose(moved, (points - new)[at(17)[0]], atol=0.7)
    assert np.abs(shift[[0, -1]]).max() < 1.0
    assert thin_plate.folds(shift) == 0


def test_asymmetry_is_nought_for_a_symmetric_face_and_odd_under_mirroring():
    model = shape_model()
    lopsided = model.mean.copy()
    lopsided[at(61)[0]] += (0.0, -0.06)
    mirrored = (lopsided * np.array([-1, 1]))[MIRROR]
    assert np.abs(asymmetry(model.mean)).max() < 1e-9
    assert np.abs(asymmetry(lopsided)).max() > 0.015
    flipped = (asymmetry(mirrored) * np.array([-1, 1]))[MIRROR]
    np.testing.assert_allclose(asymmetry(lopsided), flipped, atol=1e-9)


def test_a_one_sided_smile_is_brought_over():
    target, driver = draw_face(128, 0), draw_face(128, 1)
    points = driver.landmarks.copy()
    points[at(61)[0]] += (0, -4)
    lopsided = driver.model_copy(update={"landmarks": points})
    forger = forgeries.get("reenact-tps")(
        {
            "asymmetry": (1.0, 1.0),
            "strength": (0, 0),
            "min_motion": 0,
            "fill_mouth": False,
        }
    )
    right, left = (target.landmarks[at(i)[0]].astype(int) for i in (61, 291))
    made = forger.forge(target, lopsided, rng()).image
    change = np.abs(made.astype(int) - target.image).mean(2)

    def around(point: np.ndarray) -> float:
        return float(change[point[1] - 5 : point[1] + 6, point[0] - 5 : point[0] + 6].mean())

    eye = target.landmarks[list(GROUPS["left_eye"])].mean(0).astype(int)
    assert around(right) > 2 < around(left)
    assert min(around(right), around(left)) > 1.5 * around(eye)


def test_xray_lays_the_source_over_without_bending_it():
    """A mark on the source's cheek comes out where the similarity alone would put it."""
    target, source = draw_face(128, 0), draw_face(128, 1, mouth_width=0.1)
    spotted = source.image.copy()
    x, y = (source.landmarks[at(1)[0]] + np.array([20, 8])).astype(int)
    spotted[y - 3 : y + 3, x - 3 : x + 3] //= 3
    forger = forgeries.get("blend-xray")()
    plain, marked = (
        forger.forge(target, source.model_copy(update={"image": i}), rng()).image.astype(float)
        for i in (source.image, spotted)
    )
    change = np.abs(plain - marked).mean(2)
    rows, columns = np.indices(change.shape)
    heavy = np.where(change > 0.5 * change.max(), change, 0)
    centre = (columns * heavy).sum() / heavy.sum(), (rows * heavy).sum() / heavy.sum()
    np.testing.assert_allclose(centre, (x - 0.5, y - 0.5), atol=2.0)


def test_xray_refuses_landmarks_far_apart():
    with pytest.raises(ForgeryError) as caught:
        forgeries.get("blend-xray")({"max_distance": 0.02}).forge(
            draw_face(64, 0), draw_face(64, 1, yaw=0.35), rng()
        )
    assert caught.value.reason == "pose_gap"


def test_xray_mask_is_deformed_per_seed_and_lies_on_the_face():
    target, source = draw_face(128, 0), draw_face(128, 1)
    one, two = (forgeries.get("blend-xray")().forge(target, source, rng(s)).mask for s in (1, 2))
    assert (one != two).mean() > 0.02
    x, y = target.landmarks[at(1)[0]].astype(int)
    assert one[y, x] == 255
    assert FORGERIES.get("blend-xray").facts["partner"] == "nearest"


def test_mouth_swap_touches_the_mouth_alone():
    target, driver = draw_face(128, 0), draw_face(128, 1, mouth_open=0.15)
    made = forgeries.get("mouth-swap")().forge(target, driver, rng())
    rows, _ = np.nonzero(made.mask)
    assert rows.min() > target.landmarks[at(1)[0], 1] - 2
    assert rows.max() < target.landmarks[at(152)[0], 1] + 2
    x, y = target.landmarks[LIPS].mean(0).astype(int)
    assert made.mask[y, x] > 240
    assert made.record.driver_id is not None
    assert made.record.params["motion"]["mouth_open"] > 0.08


def test_mouth_of_has_the_drivers_opening_and_the_targets_place():
    model = shape_model()
    points, own = shape_points(128), shape_points(128, mouth_open=0.15) * np.float32(0.8) + np.float32(10)
    new = mouth_of(own, points, 1.0)
    values = [measure(model.normalise(p)[0])[MEASURES.index("mouth_open")] for p in (new, own)]
    assert values[0] == pytest.approx(values[1], abs=0.03)
    np.testing.assert_allclose(new[at(61, 291)].mean(0), points[at(61, 291)].mean(0), atol=0.5)
    others = [i for i in range(len(points)) if i not in LIPS]
    np.testing.assert_array_equal(new[others], points[others])


def test_mouth_region_stays_between_nose_and_jaw():
    points = shape_points(128)
    region = mouth_region(points, points, 2.0)
    assert region[:, 1].min() >= points[at(2)[0], 1] - 0.1
    assert region[:, 1].max() <= points[list(GROUPS["oval"]), 1].max()


@pytest.mark.parametrize("name", ["mouth-swap", "reenact-tps"])
def test_a_driver_with_the_same_expression_is_refused(name):
    with pytest.raises(ForgeryError) as caught:
        forgeries.get(name)().forge(draw_face(64, 0), draw_face(64, 1), rng())
    assert caught.value.reason == "no_motion"


def test_mouth_swap_refuses_a_mouth_too_far_open():
    with pytest.raises(ForgeryError) as caught:
        forgeries.get("mouth-swap")({"max_mouth_gap": 0.1}).forge(
            draw_face(64, 0), draw_face(64, 1, mouth_open=0.25), rng()
        )
    assert caught.value.reason == "pose_gap"


@pytest.mark.parametrize("name", ["blend-xray", "mouth-swap", "reenact-tps"])
def test_a_grey_picture_stays_grey(name):
    face = draw_face(64)
    grey = np.repeat(face.image.mean(2, keepdims=True).astype(np.uint8), 3, 2)
    made = forgeries.get(name)().forge(
        face.model_copy(update={"image": grey}), draw_face(64, 1, mouth_open=0.12), rng()
    )
    assert np.ptp(made.image.astype(int), axis=2).max() <= 4
