"""Intervals against scipy and against simulation."""

import numpy as np
import pytest
from scipy.stats import binomtest

from manifests.errors import UsageError
from manifests.proportions import corrected_counts, mean_of_shares, share, wilson


@pytest.mark.parametrize(("right", "n"), [(0, 5), (5, 5), (3, 10), (190, 200), (1, 1000)])
def test_wilson_is_scipys(right: int, n: int):
    expected = binomtest(right, n).proportion_ci(0.95, method="wilson")
    assert wilson(right, n) == pytest.approx((expected.low, expected.high))


def test_nothing_seen_says_nothing():
    assert wilson(0, 0) == (0, 1)
    assert share(0, 0)["value"] is None
    assert mean_of_shares([(0, 0)])["value"] is None
    with pytest.raises(UsageError):
        wilson(3, 2)


def test_the_mean_of_shares_covers_the_truth_about_as_often_as_it_says():
    rng = np.random.default_rng(0)
    truth = np.array([0.9, 0.6, 0.75])
    inside = []
    for k in range(200):
        found = mean_of_shares([(int(rng.binomial(60, p)), 60) for p in truth], seed=k, draws=400)
        inside.append(found["lower"] <= truth.mean() <= found["upper"])
    assert 0.90 <= np.mean(inside) <= 0.99


RATES = np.array([[0.9, 0.1, 0.0], [0.2, 0.7, 0.1], [0.0, 0.05, 0.95]])
"""P(seen as k | truly i) of a verifier."""


def drawn(mixes: np.ndarray, rng: np.random.Generator, size: int) -> np.ndarray:
    """What is seen of `size` candidates for each cell, whose true cells are drawn from `mixes[j]`."""
    return np.array(
        [sum(rng.multinomial(n, RATES[i]) for i, n in enumerate(rng.multinomial(size, mix))) for mix in mixes]
    )


def test_corrected_counts_find_the_true_cells_of_what_was_kept():
    rng = np.random.default_rng(1)
    confusion = np.array([rng.multinomial(500, row) for row in RATES])
    mixes = np.array([[0.9, 0.1, 0.0], [0.35, 0.6, 0.05], [0.0, 0.1, 0.9]])
    right = mixes * RATES.T  # of candidates for j, the share truly i and seen as j
    truth = (right / right.sum(1, keepdims=True)).sum(0) * 200
    inside, values = [], []
    for k in range(30):
        found = corrected_counts(
            drawn(mixes, rng, 600).tolist(), [200, 200, 200], confusion.tolist(), seed=k, draws=120
        )
        assert sum(one["value"] for one in found) == pytest.approx(600, abs=0.3)
        values.append([one["value"] for one in found])
        inside += [one["lower"] <= t <= one["upper"] for one, t in zip(found, truth, strict=True)]
    assert np.abs(np.mean(values, axis=0) - truth).max() < 5 < np.abs(truth - 200).max(), (
        "nearer than the counts as they are"
    )
    assert np.mean(inside) > 0.85


def test_without_noise_the_confusion_is_inverted():
    mix = np.array([0.5, 0.3, 0.2])
    seen = [[0] * 3, (10_000 * mix @ RATES).round().astype(int).tolist(), [0] * 3]
    found = corrected_counts(seen, [0, 100, 0], (RATES * 10**7).astype(int).tolist())
    solved = np.linalg.solve(RATES.T, np.array(seen[1])) * RATES[:, 1]
    assert [one["value"] for one in found] == pytest.approx(100 * solved / solved.sum(), abs=0.3)


def test_a_perfect_verifier_needs_little_correction_and_a_wrong_shape_is_refused():
    found = corrected_counts([[50, 0], [0, 20]], [50, 20], [[500, 0], [0, 500]])
    assert [one["value"] for one in found] == pytest.approx([50, 20], abs=0.2)
    assert [one["value"] for one in corrected_counts([[0, 0], [0, 0]], [3, 0], [[0, 0], [0, 9]])] == [3, 0]
    with pytest.raises(UsageError, match="does not fit 3 cells"):
        corrected_counts([[1, 0], [0, 1]], [1, 2, 3], [[1, 0], [0, 1]])
