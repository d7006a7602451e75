"""What methods leave in a fake when it is made to train a detector."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from generators import forgeries
from generators.forgeries import FORGERIES, blending, masks
from generators.forgeries.blend_self import moved, reduced
from manifests.seeding import rng_of
from tests.generators_forgeries.drawn_faces import draw_face


def test_chances_of_0_and_1_draw_nothing() -> None:
    rng, same = np.random.default_rng(1), np.random.default_rng(1)
    assert blending.happens(1.0, rng)
    assert not blending.happens(0.0, rng)
    assert rng.random() == same.random()
    share = np.mean([blending.happens(0.3, rng) for _ in range(2000)])
    assert abs(share - 0.3) < 0.04


@pytest.mark.parametrize("method", ["blend-self", "blend-xray", "swap-delaunay"])
def test_without_matching_the_face_keeps_its_own_sharpness(method: str) -> None:
    target, other = draw_face(128, 1), draw_face(128, 2)
    blurred = target.model_copy(update={"image": cv2.GaussianBlur(target.image, (0, 0), 1.5)})
    sharpness = []
    for share in (0, 1):
        made = forgeries.get(method)({"match_detail": share}).forge(
            blurred, other, rng_of(3, "detail", method)
        )
        inside = made.mask > 0.8 * made.mask.max()
        sharpness.append(cv2.Laplacian(made.image.astype(np.float32).mean(2), cv2.CV_32F)[inside].std())
    if method == "blend-self":  # both sides are the same picture, its changes draw sharpening or blur
        assert sharpness[0] != pytest.approx(sharpness[1], rel=1e-3)
    else:
        assert sharpness[0] > 1.1 * sharpness[1]


def test_either_side_of_a_self_blend_is_changed() -> None:
    face, outer = draw_face(96, 3), []
    for k in range(16):
        made = forgeries.get("blend-self")({"side": "either", "match_detail": 0}).forge(
            face, None, rng_of(k, "side")
        )
        untouched = bool((made.image[made.mask == 0] == face.image[made.mask == 0]).all())
        assert untouched != made.record.params["outer"]
        outer.append(made.record.params["outer"])
    assert 3 <= sum(outer) <= 13


def test_the_surroundings_get_the_detail_of_what_they_replace() -> None:
    sharpness = []
    params = {"side": "either", "hulls": "any", "ratios": [1.0], "detail": 0, "contrast": 0, "value": 0}
    for k in range(24):
        face, noise = draw_face(128, k), np.random.default_rng(k).normal(0, 60, (128, 128))
        image = np.clip(face.image + cv2.GaussianBlur(3 * noise, (0, 0), 1.5)[..., None], 0, 255)
        face = face.model_copy(update={"image": image.astype(np.uint8)})
        made = forgeries.get("blend-self")(params).forge(face, None, rng_of(k, "detail", "side"))
        if made.record.params["outer"]:
            before, after = (
                cv2.Laplacian(picture.astype(np.float32).mean(2), cv2.CV_32F)[made.mask == 0].std()
                for picture in (face.image, made.image)
            )
            sharpness.append(after / before)
    assert len(sharpness) > 6
    assert 0.9 < np.median(sharpness) < 1.1
    assert max(sharpness) < 1.5


def test_resampling_takes_detail_away() -> None:
    image = np.random.default_rng(0).uniform(0, 255, (64, 64, 3)).astype(np.float32)
    less = reduced(image, 2.0)
    assert less.shape == image.shape
    assert np.abs(np.diff(less, axis=0)).mean() < 0.7 * np.abs(np.diff(image, axis=0)).mean()
    drawn = [
        forgeries.get("blend-self")({"resample": 0.5})
        .forge(draw_face(64, 4), None, rng_of(k, "r"))
        .record.params["reduced"]
        for k in range(12)
    ]
    assert {value == 0 for value in drawn} == {True, False}
    assert all(value == 0 or 2 <= value <= 4 for value in drawn)


def test_a_bend_moves_what_lies_under_it() -> None:
    image = cv2.GaussianBlur(draw_face(96, 6).image.astype(np.float32), (0, 0), 1.0)
    still = np.zeros((2, 96, 96), np.float32)
    two_right = still - np.float32([2, 0])[:, None, None]  # each pixel is taken from two to its left
    centre = np.float32([48, 48])
    assert np.array_equal(moved(image, centre, 0, 0, 0, still), moved(image, centre, 0, 0, 0))
    bent, shifted = moved(image, centre, 0, 0, 0, two_right), moved(image, centre, 0, 2, 0)
    assert np.abs(bent - shifted)[4:-4, 4:-4].max() < 0.1
    field = masks.smooth_field(96, 128, 3.0, 10.0, rng_of(1, "field"))
    assert field.shape == (2, 96, 128)
    assert np.sqrt((field**2).mean()) == pytest.approx(3.0, rel=1e-4)
    assert np.abs(np.diff(field, axis=2)).max() < 1.5  # smooth: nothing folds


def test_a_bend_is_drawn_in_its_range_and_only_where_it_is_asked_for() -> None:
    drawn = [
        forgeries.get("blend-self")({"bend": (0.01, 0.02)})
        .forge(draw_face(64, 4), None, rng_of(k, "b"))
        .record.params["bend"]
        for k in range(8)
    ]
    assert all(0.01 <= value <= 0.02 for value in drawn)
    assert len(set(drawn)) > 4
    plain = forgeries.get("blend-self")({}).forge(draw_face(64, 4), None, rng_of(0, "b"))
    assert "bend" not in plain.record.params


def test_hulls_of_several_kinds() -> None:
    kinds = {
        forgeries.get("blend-self")({"hulls": "any"})
        .forge(draw_face(96, 5), None, rng_of(k, "h"))
        .record.params["hull"]
        for k in range(32)
    }
    assert kinds == {-1, 0, 1, 2, 3}


OTHERWISE = {
    "ratios": (0.5,),
    "rgb_shift": 40.0,
    "hue": 60.0,
    "saturation": 0.9,
    "value": 0.6,
    "contrast": 0.6,
    "zoom": 0.3,
    "shift": 0.2,
    "detail": 1.5,
    "bend": (0.03, 0.04),
    "elastic": (0.05, 0.06),
    "feather": (0.1, 0.12),
    "side": "either",
    "resample": 1.0,
    "hulls": "any",
    "match_detail": 0.5,
    "channels": (2, 3),
    "scale": (0.3, 0.4),
}
"""A value of each parameter that is far from its default."""


@pytest.mark.parametrize(
    ("method", "name"),
    [
        (method, name)
        for method in ("blend-self", "blend-neural")
        for name in FORGERIES.get(method).params.model_fields
        if name != "model"  # another file: tests/pipeline/test_cache_keys.py
    ],
)
def test_every_parameter_of_a_self_blend_changes_its_fakes(method: str, name: str) -> None:
    target = draw_face(128, 1)

    def fakes(params: dict) -> list[bytes]:
        return [
            forgeries.get(method)(params).forge(target, None, rng_of(k, method)).image.tobytes()
            for k in range(4)
        ]

    assert fakes({name: OTHERWISE[name]}) != fakes({})
