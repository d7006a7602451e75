"""Score shift within counterfactual sets."""

import numpy as np
import pytest

from detector.metrics.counterfactual import score_shift
from manifests.errors import UsageError

CELLS = ["White/Male", "Black/Male", "Asian/Male"]


def sets_of(offsets, count=40, noise=0.0, seed=0, label=0):
    rng = np.random.default_rng(seed)
    rows = []
    for number in range(count):
        base = rng.uniform(0.2, 0.4)
        rows += [
            (label, base + offsets[cell] + noise * rng.standard_normal(), f"s{number}", cell)
            for cell in CELLS
        ]
    return [list(column) for column in zip(*rows, strict=True)]


def test_a_detector_blind_to_the_cell_has_no_shift():
    y, score, sets, cells = sets_of(dict.fromkeys(CELLS, 0.0))
    found = score_shift(y, score, sets, cells, replicates=50)
    assert found["mean_range"] == pytest.approx(0, abs=1e-12)
    assert found["flips"] == 0
    assert found["n_sets"] == 40


def test_a_shift_is_found_and_its_interval_holds_it():
    y, score, sets, cells = sets_of({CELLS[0]: 0.0, CELLS[1]: 0.3, CELLS[2]: 0.0}, noise=0.02)
    found = score_shift(y, score, sets, cells, replicates=400)
    assert found["mean_range"] == pytest.approx(0.3, abs=0.05)
    assert found["interval"][0] < found["mean_range"] < found["interval"][1]
    assert found["mean_difference"] == pytest.approx(0.2, abs=0.03)
    black = found["cells"][CELLS[1]]
    assert black["interval"][0] < 0.2 < black["interval"][1]
    assert black["n"] == 40
    assert found["cells"][CELLS[0]]["shift"] == pytest.approx(-0.1, abs=0.02)
    assert 0 < found["flips"] < 1


def test_reals_and_fakes_of_one_method_are_compared_among_themselves():
    real, fake = sets_of(dict.fromkeys(CELLS, 0.0)), sets_of(dict.fromkeys(CELLS, 0.0), label=1)
    y, sets, cells = real[0] + fake[0], real[2] + fake[2], real[3] + fake[3]
    score = real[1] + [value + 0.5 for value in fake[1]]
    found = score_shift(y, score, sets, cells, [None] * len(real[0]) + ["swap"] * len(fake[0]), replicates=0)
    assert found["mean_range"] == pytest.approx(0, abs=1e-12)
    assert found["interval"] == [None, None]
    assert found["n_sets"] == 40


def test_without_sets_there_is_nothing_to_say():
    assert score_shift([0, 0], [0.1, 0.2], [None, None], CELLS[:2]) is None
    assert score_shift([0, 0], [0.1, 0.2], ["a", "b"], CELLS[:2]) is None
    assert score_shift([0, 0], [0.1, 0.2], ["a", "a"], [CELLS[0], None]) is None
    with pytest.raises(UsageError, match=r"for \d+ scores"):
        score_shift([0, 0], [0.1], ["a", "a"], CELLS[:2])
