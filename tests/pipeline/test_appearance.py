"""Looks of cells: the measures are their formulas, a darker or blurrier cell is named, intervals cover."""

import cv2
import numpy as np
import pytest

from attribute_models.quality import looks
from generators.cells.looks import MEASURES
from pipeline.commands.generators.appearance import by_cell, compare_looks, looks_text

CELLS = ("White/Male", "Black/Female")


def noise(count, level, spread, seed):
    rng = np.random.default_rng(seed)
    images = rng.normal(level, spread, (count, 24, 24, 1)).repeat(3, axis=3)
    return images.clip(0, 255).astype(np.uint8)


def test_the_measures_are_their_formulas():
    image = np.random.default_rng(1).integers(0, 256, (16, 16, 3), np.uint8)
    luma = 0.299 * image[..., 0] + 0.587 * image[..., 1] + 0.114 * image[..., 2]
    bright, contrast, sharp = looks(image)
    assert bright == pytest.approx(luma.mean(), abs=0.5)
    assert contrast == pytest.approx(luma.std(), abs=1e-9)
    blurred = looks(cv2.GaussianBlur(image, (5, 5), 2))
    assert blurred[2] < sharp / 4


def test_a_darker_cell_is_named_and_no_other():
    real = by_cell((cell, image) for cell in CELLS for image in noise(60, 120, 30, 0))
    levels = {CELLS[0]: 120, CELLS[1]: 96}
    fake = by_cell((cell, image) for cell in CELLS for image in noise(60, levels[cell], 30, 3))
    found = compare_looks(fake, real, "fairface4", 0)
    assert found["outside"] == ["Black/Female: brightness"]
    ratio = found["cells"]["Black/Female"]["brightness"]
    assert ratio["ratio"] == pytest.approx(0.8, abs=0.02)
    assert 0.75 < ratio["low"] < ratio["high"] < 0.85
    assert found["cells"]["White/Male"]["generated"] == 60
    assert set(found["cells"]) == set(CELLS)
    assert len(looks_text(found)) == 2
    assert all(name in looks_text(found)[0] for name in MEASURES)


def test_a_cell_without_photographs_is_left_out():
    fake = by_cell([(cell, image) for cell in CELLS for image in noise(5, 100, 9, 0)])
    real = by_cell([(CELLS[0], image) for image in noise(5, 100, 9, 1)])
    assert list(compare_looks(fake, real, "fairface4", 0)["cells"]) == [CELLS[0]]


def test_intervals_cover_the_ratio_of_equal_sets():
    inside = 0
    for trial in range(60):
        fake, real = (by_cell([(CELLS[0], i) for i in noise(25, 110, 25, 2 * trial + k)]) for k in (0, 1))
        found = compare_looks(fake, real, "fairface4", trial)["cells"][CELLS[0]]["contrast"]
        inside += found["low"] <= 1 <= found["high"]
    assert inside >= 50, "95 % intervals of 60 trials"
