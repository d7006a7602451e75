"""H.264: same bytes each time, worse at a higher crf, any size, and close to the picture at crf 0."""

from __future__ import annotations

import numpy as np
import pytest

from manifests.errors import UsageError
from manifests.h264 import LEVELS, through_h264


def picture(height: int = 96, width: int = 80) -> np.ndarray:
    """Smooth colours with fine grain."""
    y, x = np.mgrid[:height, :width]
    smooth = np.stack([x * 2 + 40, y * 2 + 20, 200 - x], 2)
    return (smooth + np.random.default_rng(0).normal(0, 6, smooth.shape)).clip(0, 255).astype(np.uint8)


def error(crf: int) -> float:
    image = picture()
    return float(np.square(through_h264(image, crf).astype(float) - image).mean())


def test_a_higher_crf_costs_more():
    assert error(0) < error(LEVELS["c23"]) < error(LEVELS["c40"])
    assert error(0) < 40  # what 4:2:0 alone loses of coloured grain


def test_same_picture_same_bytes():
    assert (through_h264(picture(), 23) == through_h264(picture(), 23)).all()


@pytest.mark.parametrize("size", [(64, 64), (63, 65), (17, 128)])
def test_any_size_comes_back(size):
    image = picture(*size)
    assert through_h264(image, 23).shape == image.shape


def test_pictures_are_independent_and_not_changed():
    image = picture()
    before = image.copy()
    through_h264(image[::-1], 40)
    assert (image == before).all()


@pytest.mark.parametrize("crf", [-1, 52])
def test_crf_out_of_range(crf):
    with pytest.raises(UsageError, match="crf"):
        through_h264(picture(), crf)


def test_not_a_picture():
    with pytest.raises(UsageError, match="cannot be encoded"):
        through_h264(picture().astype(np.float32), 23)
