"""Augmentation: seeded by the image, blind to the label and to the batch, and each part does what it says."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from PIL import Image, ImageFilter

from detector.training.augmentation import BEST_CRF, WORST_CRF, AugmentParams, augment, augment_row
from manifests.h264 import through_h264
from tests.detector.detector_fixtures import picture

OFF = {"flip": 0.0, "shift": 0.0, "light": 0.0, "scale": 0.0, "jpeg": 0.0, "blur": 0.0}


def rng(seed: int = 4) -> np.random.Generator:
    return np.random.Generator(np.random.PCG64(seed))


def test_draws_belong_to_seed_epoch_and_image() -> None:
    image = picture(1, False)
    first = augment_row(image, 7, 2, "a", AugmentParams())
    augment_row(image, 7, 2, "b", AugmentParams())
    assert np.array_equal(first, augment_row(image, 7, 2, "a", AugmentParams()))
    others = [augment_row(image, *key, AugmentParams()) for key in ((8, 2, "a"), (7, 3, "a"), (7, 2, "b"))]
    assert all(not np.array_equal(first, other) for other in others)


def test_halves_of_a_pair_differ_in_the_forgery_alone() -> None:
    real = picture(1, False)
    fake = real.copy()
    fake[8:12, 8:12] = 255 - fake[8:12, 8:12]
    params = AugmentParams(**{**OFF, "flip": 0.5, "shift": 0.1, "grid": 1})
    for epoch in range(8):
        one, two = (augment_row(image, 7, epoch, "pair 3", params) for image in (real, fake))
        assert (one != two).any(2).sum() == 16


def test_nothing_drawn_changes_nothing() -> None:
    image = picture(2, True)
    assert np.array_equal(augment(image, rng(), AugmentParams(**OFF)), image)


def test_parts_are_those_of_other_libraries() -> None:
    image = picture(3, True)
    assert np.array_equal(augment(image, rng(), AugmentParams(**{**OFF, "flip": 1.0})), np.fliplr(image))
    blurred = augment(image, rng(), AugmentParams(**{**OFF, "blur": 1.0}))
    pillow = np.array(Image.fromarray(image).filter(ImageFilter.GaussianBlur(0.5)))
    inner = (slice(4, -4), slice(4, -4))
    assert cv2.Laplacian(blurred[inner], cv2.CV_64F).var() < cv2.Laplacian(image[inner], cv2.CV_64F).var()
    assert np.abs(blurred[inner].astype(int) - pillow[inner]).mean() < 12
    jpeg = augment(image, rng(), AugmentParams(**{**OFF, "jpeg": 1.0}))
    assert 0 < np.abs(jpeg.astype(int) - image).mean() < 25


def test_every_part_draws_the_same_number_of_numbers() -> None:
    ends = []
    for params in (AugmentParams(**OFF), AugmentParams(flip=1, scale=1, jpeg=1, blur=1, erase=1)):
        generator = rng()
        augment(picture(1, False), generator, params)
        ends.append(generator.random())
    assert ends[0] == ends[1]


@pytest.mark.parametrize("side", [32, 64])
def test_shift_is_by_whole_pixels_and_within_its_range(side: int) -> None:
    image = np.random.default_rng(0).integers(0, 256, (side, side, 3), dtype=np.uint8)
    moved = augment(image, rng(), AugmentParams(**{**OFF, "shift": 0.1, "grid": 1}))
    most = round(0.1 * side)
    inner = slice(most, side - most)
    places = [
        (y, x)
        for y in range(-most, most + 1)
        for x in range(-most, most + 1)
        if np.array_equal(np.roll(image, (y, x), (0, 1))[inner, inner], moved[inner, inner])
    ]
    assert len(places) == 1
    assert places != [(0, 0)]


def test_shift_goes_by_whole_grid_steps() -> None:
    image = np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)
    inner = slice(16, 48)
    for seed in range(12):
        moved = augment(image, np.random.default_rng(seed), AugmentParams(**{**OFF, "shift": 0.2}))
        places = [(y, x) for y in (-16, -8, 0, 8, 16) for x in (-16, -8, 0, 8, 16)]
        assert (
            sum(np.array_equal(np.roll(image, p, (0, 1))[inner, inner], moved[inner, inner]) for p in places)
            == 1
        )


def test_erase_covers_one_rectangle() -> None:
    image = np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)
    changed = (augment(image, rng(), AugmentParams(**{**OFF, "erase": 1.0})) != image).any(2)
    rows, columns = np.flatnonzero(changed.any(1)), np.flatnonzero(changed.any(0))
    assert np.ptp(rows) < 0.4 * 64
    assert np.ptp(columns) < 0.4 * 64
    assert changed.sum() > 0.98 * len(rows) * len(columns)
    assert len(rows) >= 6


def test_scale_keeps_the_centre() -> None:
    image = np.zeros((33, 33, 3), np.uint8)
    image[10:23, 10:23] = 255
    scaled = augment(image, rng(), AugmentParams(**{**OFF, "scale": 1.0, "zoom": 0.3}))
    assert scaled.sum() != image.sum()
    y, x = (np.average(np.arange(33), weights=scaled[:, :, 0].sum(axis).astype(float)) for axis in (1, 0))
    assert max(abs(y - 16), abs(x - 16)) < 0.2


def strength(image: np.ndarray) -> float:
    """Of the finest detail."""
    return float(np.abs(np.diff(image.astype(float), axis=1)).mean())


def test_a_turn_moves_the_corners_and_not_the_centre() -> None:
    image = np.zeros((65, 65, 3), np.uint8)
    image[30:35, 30:35] = image[0:12, 0:12] = 200
    turned = augment(image, rng(), AugmentParams(**{**OFF, "rotate": 45.0}))
    assert (turned[31:34, 31:34] > 100).all()
    assert (turned[:12, :12] != image[:12, :12]).any()


def test_noise_has_the_strength_that_is_drawn() -> None:
    image = np.full((64, 64, 3), 128, np.uint8)
    levels = [
        augment(image, rng(k), AugmentParams(**{**OFF, "noise": 1.0})).astype(float).std() for k in range(30)
    ]
    assert 4.5 < max(levels) < 6.5
    assert min(levels) < 1.5
    again = augment(image, rng(0), AugmentParams(**{**OFF, "noise": 1.0})).astype(float).std()
    assert again == levels[0]


def test_a_smaller_picture_loses_detail() -> None:
    image = np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)
    assert strength(augment(image, rng(), AugmentParams(**{**OFF, "small": 1.0}))) < 0.8 * strength(image)


def test_sharpening_adds_detail() -> None:
    image = cv2.GaussianBlur(
        np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8), (0, 0), 1.0
    )
    assert strength(augment(image, rng(), AugmentParams(**{**OFF, "sharpen": 1.0}))) > 1.1 * strength(image)


def test_grey_and_saturation() -> None:
    image = np.random.default_rng(0).integers(60, 190, (16, 16, 3), dtype=np.uint8)
    grey = augment(image, rng(), AugmentParams(**{**OFF, "grey": 1.0})).astype(int)
    assert np.ptp(grey, axis=2).max() <= 1
    spread = [
        np.ptp(augment(image, rng(k), AugmentParams(**{**OFF, "colour": 0.5})).astype(int), axis=2).mean()
        for k in range(20)
    ]
    own = np.ptp(image.astype(int), axis=2).mean()
    assert min(spread) < 0.8 * own
    assert max(spread) > 1.1 * own


def test_quality_is_drawn_from_its_range_and_webp_is_a_codec_too() -> None:
    image = picture(1, False)
    harsh, mild = (
        np.mean(
            [
                np.abs(
                    augment(image, rng(k), AugmentParams(**{**OFF, "jpeg": 1.0, "quality": q})).astype(int)
                    - image
                ).mean()
                for k in range(6)
            ]
        )
        for q in ((5, 10), (95, 100))
    )
    assert harsh > 2 * mild
    as_webp = augment(image, rng(), AugmentParams(**{**OFF, "jpeg": 1.0, "webp": 1.0}))
    assert (as_webp != augment(image, rng(), AugmentParams(**{**OFF, "jpeg": 1.0}))).any()
    with pytest.raises(ValueError, match="lowest and the highest"):
        AugmentParams(quality=(90, 20))


def test_new_kinds_leave_the_draws_of_the_old_ones_as_they_were() -> None:
    image = np.random.default_rng(0).integers(0, 256, (32, 32, 3), dtype=np.uint8)
    plain = AugmentParams(**{**OFF, "light": 0.3, "flip": 0.5})
    for k in range(5):
        np.testing.assert_array_equal(
            augment(image, rng(k), plain),
            augment(
                image, rng(k), plain.model_copy(update={"noise": 1e-12, "small": 1e-12, "sharpen": 1e-12})
            ),
        )


def test_kernels_of_a_smaller_picture_are_drawn() -> None:
    image = cv2.GaussianBlur(
        np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8), (0, 0), 1.5
    )
    small = AugmentParams(**{**OFF, "small": 1.0})
    same = [
        np.array_equal(
            *(augment(image, rng(k), small.model_copy(update={"kernels": drawn})) for drawn in (False, True))
        )
        for k in range(60)
    ]
    assert 2 <= sum(same) <= 25  # one of the six pairs is the one that is taken otherwise


def test_video_is_a_share_of_what_is_compressed() -> None:
    pytest.importorskip("av")
    image = picture(1, False)
    video = AugmentParams(**{**OFF, "jpeg": 1.0, "video": 1.0, "quality": (40, 98)})
    found = [augment(image, rng(k), video) for k in range(12)]
    known = {crf: through_h264(image, crf) for crf in range(BEST_CRF, WORST_CRF + 1)}
    factors = [next(crf for crf, other in known.items() if np.array_equal(one, other)) for one in found]
    assert len(set(factors)) > 4
    half = video.model_copy(update={"video": 0.5, "webp": 0.5})
    kinds = [
        any(np.array_equal(augment(image, rng(k), half), other) for other in known.values())
        for k in range(24)
    ]
    assert 4 <= sum(kinds) <= 20
    with pytest.raises(ValueError, match="together at most 1"):
        AugmentParams(webp=0.6, video=0.6)


PAIRS = {
    "flip": (0.0, 1.0, {}),
    "shift": (0.1, 0.3, {"grid": 1}),
    "grid": (1, 16, {"shift": 0.3}),
    "erase": (0.0, 1.0, {}),
    "light": (0.1, 0.5, {}),
    "scale": (0.0, 1.0, {}),
    "zoom": (0.05, 0.3, {"scale": 1.0}),
    "blur": (0.0, 1.0, {}),
    "blur_most": (0.9, 3.0, {"blur": 1.0}),
    "jpeg": (0.0, 1.0, {}),
    "quality": ((30, 30), (90, 90), {"jpeg": 1.0}),
    "webp": (0.0, 1.0, {"jpeg": 1.0}),
    "video": (0.0, 1.0, {"jpeg": 1.0}),
    "kernels": (False, True, {"small": 1.0}),
    "rotate": (5.0, 30.0, {}),
    "noise": (0.0, 1.0, {}),
    "small": (0.0, 1.0, {}),
    "small_least": (0.1, 0.8, {"small": 1.0}),
    "colour": (0.2, 0.9, {}),
    "grey": (0.0, 1.0, {}),
    "sharpen": (0.0, 1.0, {}),
}
"""Two values of each parameter, and what must be on for it to have a say."""


@pytest.mark.parametrize("name", list(AugmentParams.model_fields))
def test_every_parameter_changes_the_picture_by_what_it_is(name: str) -> None:
    """Draws are as many whatever the values, so a difference is the value's own."""
    first, second, needed = PAIRS[name]
    less, more = (
        [
            augment(picture(1, False), rng(seed), AugmentParams(**{**OFF, **needed, name: value}))
            for seed in range(4)
        ]
        for value in (first, second)
    )
    assert any(not np.array_equal(one, two) for one, two in zip(less, more, strict=True))
