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


def test_corrected_counts_find_the_true_mix():
    rng = np.random.default_rng(1)
    rates = np.array([[0.9, 0.1, 0.0], [0.2, 0.7, 0.1], [0.0, 0.05, 0.95]])  # of true cell i accepted as j
    confusion = np.array([rng.multinomial(400, row) for row in rates])
    inside = []
    for _ in range(100):
        fresh = np.array([rng.multinomial(300, row) for row in rates])
        found = corrected_counts(fresh.sum(0).tolist(), confusion.tolist())
        assert sum(one["value"] for one in found) == pytest.approx(900, abs=0.3)
        inside += [one["lower"] - 25 <= 300 <= one["upper"] + 25 for one in found]
        assert all(abs(one["value"] - 300) < 40 for one in found)
    assert np.mean(inside) > 0.9


def test_a_perfect_verifier_needs_little_correction_and_a_wrong_shape_is_refused():
    found = corrected_counts([50, 20], [[500, 0], [0, 500]])
    assert [one["value"] for one in found] == pytest.approx([50, 20], abs=0.2)
    assert [one["value"] for one in corrected_counts([5, 5], [[0, 0], [0, 9]])] == pytest.approx([5.1, 4.9], abs=0.3)
    with pytest.raises(UsageError, match="does not fit 3 cells"):
        corrected_counts([1, 2, 3], [[1, 0], [0, 1]])
