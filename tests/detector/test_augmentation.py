"""Augmentation: seeded by the image, blind to the label and to the batch, and each part does what it says."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from detector_fixtures import picture
from PIL import Image, ImageFilter

from detector.augmentation import AugmentParams, augment, augment_row

OFF = {"flip": 0.0, "shift": 0.0, "light": 0.0, "scale": 0.0, "jpeg": 0.0, "blur": 0.0}


def rng() -> np.random.Generator:
    return np.random.Generator(np.random.PCG64(4))


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
        (y, x) for y in range(-most, most + 1) for x in range(-most, most + 1)
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
        assert sum(np.array_equal(np.roll(image, p, (0, 1))[inner, inner], moved[inner, inner]) for p in places) == 1


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
