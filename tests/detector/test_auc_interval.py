"""The interval of an AUC: its variance against integrals and DeLong's, its bounds, clusters, and coverage."""

import numpy as np
import pytest
from scipy.stats import multivariate_normal, norm

from detector.metrics.auc_error import auc_error
from detector.metrics.auc_interval import Classes, area_interval, placements, share_of, variance
from detector.metrics.rate_intervals import quantile


def drawn(seed, reals=40, fakes=30, distance=1.5, scale=1.0):
    rng = np.random.default_rng(seed)
    return np.repeat([0, 1], [reals, fakes]), np.r_[
        rng.standard_normal(reals), distance + scale * rng.standard_normal(fakes)
    ]


def of(y, score, cluster=None, stratum=None):
    return auc_error(
        y, score, np.arange(len(y)) if cluster is None else cluster, 0 * y if stratum is None else stratum
    )


@pytest.mark.parametrize(("area", "share"), [(0.7, 0.5), (0.95, 0.2), (0.3, 0.9)])
def test_placements_are_chances_that_two_correlated_numbers_are_positive(area, share):
    at = norm.ppf(area)
    for found, correlation in zip(placements(area, share), (share, 1 - share), strict=True):
        both = multivariate_normal([0, 0], [[1, correlation], [correlation, 1]]).cdf([at, at])
        assert found == pytest.approx(both - area**2, abs=1e-6)


def test_the_variance_of_binormal_classes_is_delongs_in_large_sets():
    """Fakes spread twice as wide: four fifths of the variance of a difference is theirs."""
    y, score = drawn(0, 6000, 6000, 2.0, 2.0)
    found = of(y, score)
    assert found.classes.share == pytest.approx(0.8, abs=0.03)
    assert found.value * (1 - found.value) / found.rows == pytest.approx(
        variance(found.value, found.classes), rel=0.03
    )
    assert variance(found.value, found.classes._replace(factor=1.0)) == pytest.approx(
        variance(norm.cdf(2 / 5**0.5), Classes(6000, 6000, 0.8)), rel=0.05
    )


def test_the_share_is_found_again():
    for area in (0.6, 0.9, 0.98):
        assert share_of(area, *placements(area, 0.3)) == pytest.approx(0.3, abs=1e-6)
    assert share_of(1.0, 0.0, 0.0) == share_of(0.8, 0.0, 0.0) == 0.5


def test_ends_are_where_the_area_found_is_just_far_enough():
    found = of(*drawn(1))
    for level in (0.8, 0.95):
        for end in found.interval(level):
            assert abs(found.value - end) == pytest.approx(
                quantile(np.inf, level) * variance(end, found.classes) ** 0.5, rel=1e-6
            )
    assert found.interval(0.8)[0] > found.interval(0.95)[0]


def test_bounds():
    y = np.repeat([0, 1], 20)
    low, high = of(y, np.arange(40.0)).interval()
    assert high == 1
    assert 0.8 < low < 0.95
    np.testing.assert_allclose(of(y, -np.arange(40.0)).interval(), (1 - high, 1 - low), atol=1e-9)
    of_five = of(y, np.arange(40.0), np.arange(40) // 5).interval()
    of_one = of(y, np.arange(40.0), 0 * y).interval()
    assert of_one[0] < of_five[0] < low
    assert of_one[1] == of_five[1] == 1
    assert np.isnan(area_interval(float("nan"), Classes(1, 1))).all()
    for seed in range(20):
        small = of(*drawn(seed, 2, 3))
        assert 0 <= small.interval()[0] <= small.value <= small.interval()[1] <= 1


def test_turned_scores_have_the_turned_interval_and_row_order_does_not_count():
    y, score = drawn(2)
    cluster, stratum = np.arange(70) // 3, np.arange(70) // 35
    low, high = of(y, score, cluster, stratum).interval()
    np.testing.assert_allclose(of(y, -score, cluster, stratum).interval(), (1 - high, 1 - low), atol=1e-6)
    order = np.random.default_rng(0).permutation(70)
    again = of(y[order], score[order], cluster[order], stratum[order]).interval()
    np.testing.assert_allclose(again, (low, high), atol=1e-9)
    assert of(y, score, cluster, stratum).interval() == (low, high)


def test_copies_of_a_row_count_as_one():
    y, score = drawn(3, 24, 16)
    found = of(np.repeat(y, 4), np.repeat(score, 4), np.repeat(np.arange(40), 4))
    assert found.value == pytest.approx(of(y, score).value)
    assert (found.classes.fakes, found.classes.reals) == pytest.approx((16, 24))
    assert 15 < found.classes.freedom <= 38


def test_pairs_that_move_together_have_a_smaller_variance_and_strata_take_theirs_out():
    rng = np.random.default_rng(4)
    shift = np.repeat(rng.standard_normal(60) * 2, 2)
    y = np.tile([0, 1], 60)
    score = shift + y + rng.standard_normal(120) * 0.5
    alone, paired = of(y, score), of(y, score, np.arange(120) // 2)
    assert paired.classes.factor < 0.6 * alone.classes.factor
    assert np.ptp(paired.interval()) < np.ptp(alone.interval())
    apart = of(y, score, None, np.digitize(shift, [-1, 1]))
    assert np.ptp(apart.interval()) < 0.8 * np.ptp(alone.interval())


def test_scores_that_are_wrong_altogether_widen_it():
    """One row in ten of either class lies among the other: both vary more than binormal classes do."""
    y = np.repeat([0, 1], 400)
    rng = np.random.default_rng(5)
    score = np.where(rng.random(800) < 0.1, 1 - y, y) + rng.random(800) * 1e-6
    found = of(y, score)
    assert found.classes.factor > 1.1
    assert found.value * (1 - found.value) / found.rows == pytest.approx(
        variance(found.value, found.classes), rel=0.1
    )


def test_high_areas_of_small_sets_are_held():
    """300 experiments at .96, 20 rows in the rarer class; with DeLong's variance at the AUC found it was
    .88.
    """
    held = []
    for seed in range(300):
        low, high = of(*drawn(seed, 100, 20, 3.9, 2.0)).interval()
        held.append(low <= norm.cdf(3.9 / 5**0.5) <= high)
    assert np.mean(held) > 0.91
