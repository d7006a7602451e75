"""Augmentation: seeded by the image, blind to the label and to the batch, and each part does what it says."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from detector_fixtures import picture
from PIL import Image, ImageFilter

from detector.augmentation import AugmentParams, augment, augment_row

OFF = {"flip": 0.0, "geometry": 0.0, "light": 0.0, "jpeg": 0.0, "blur": 0.0}


def rng() -> np.random.Generator:
    return np.random.Generator(np.random.PCG64(4))


def test_draws_belong_to_seed_epoch_and_image() -> None:
    image = picture(1, False)
    first = augment_row(image, 7, 2, "a", AugmentParams())
    augment_row(image, 7, 2, "b", AugmentParams())
    assert np.array_equal(first, augment_row(image, 7, 2, "a", AugmentParams()))
    others = [augment_row(image, *key, AugmentParams()) for key in ((8, 2, "a"), (7, 3, "a"), (7, 2, "b"))]
    assert all(not np.array_equal(first, other) for other in others)


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
    for params in (AugmentParams(**OFF), AugmentParams(flip=1, geometry=1, jpeg=1, blur=1)):
        generator = rng()
        augment(picture(1, False), generator, params)
        ends.append(generator.random())
    assert ends[0] == ends[1]


@pytest.mark.parametrize("side", [32, 64])
def test_geometry_moves_by_at_most_its_range(side: int) -> None:
    image = np.zeros((side, side, 3), np.uint8)
    image[side // 2 - 2:side // 2 + 2, side // 2 - 2:side // 2 + 2] = 255
    moved = augment(image, rng(), AugmentParams(**{**OFF, "geometry": 1.0, "shift": 0.1}))
    y, x = (np.average(np.arange(side), weights=moved[:, :, 0].sum(axis).astype(float)) for axis in (1, 0))
    assert max(abs(y - (side - 1) / 2), abs(x - (side - 1) / 2)) <= 0.1 * side + 1
    assert moved.shape == image.shape
