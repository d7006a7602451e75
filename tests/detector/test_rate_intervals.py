"""The interval of a rate: against counting all samples, at its bounds, and how often it holds the truth."""

import itertools

import numpy as np
import pytest
from scipy.stats import binom, binomtest

from detector.metrics.effective_rows import group_rates, pairs_of
from detector.metrics.rate_intervals import mid_p, quantile, rate_interval
from manifests.errors import UsageError
from manifests.proportions import LEVEL, wilson


def holds(hits, rows, rate, level):
    """By the definition: half of the chance of the count found counts on either side; where no hit at all (or
    nothing but hits) is common, that side is never too far.
    """
    side = (1 - level) / 2
    chances = binom.pmf(np.arange(rows + 1), rows, rate)
    many, few = chances[hits:].sum() - chances[hits] / 2, chances[: hits + 1].sum() - chances[hits] / 2
    none, all_of_them = chances[0] > side, chances[-1] > side
    return (all_of_them or many >= side * (1 + none)) and (none or few >= side * (1 + all_of_them))


@pytest.mark.parametrize("rows", [1, 2, 5, 7, 20])
@pytest.mark.parametrize("level", [LEVEL, 0.8])
def test_the_interval_holds_the_rates_that_all_samples_say(rows, level):
    for hits in range(rows + 1):
        low, high = mid_p(hits, rows, level)
        for rate in np.linspace(0.0013, 0.9987, 211):
            if min(abs(rate - low), abs(rate - high)) > 1e-6:
                assert holds(hits, rows, rate, level) == (low < rate < high), (hits, rate)


def test_bounds_and_order():
    for rows in (1, 3, 12, 60, 333):
        ends = [mid_p(hits, rows) for hits in range(rows + 1)]
        assert ends[0][0] == 0
        assert ends[-1][1] == 1
        assert ends[0][1] == pytest.approx(binomtest(0, rows).proportion_ci().high)
        for hits, ((low, high), (lower, higher)) in enumerate(itertools.pairwise(ends)):
            assert low <= lower
            assert high <= higher
            assert low <= hits / rows <= high
        np.testing.assert_allclose(ends, [(1 - high, 1 - low) for low, high in ends[::-1]], atol=1e-12)
    whole, between, more = mid_p(2, 20), mid_p(2.25, 20.5), mid_p(3, 20)
    assert whole[0] < between[0] < more[0]


@pytest.mark.parametrize("rows", [8, 20, 40, 130])
def test_no_rate_is_held_in_less_than_nine_tenths(rows):
    ends = np.array([mid_p(hits, rows) for hits in range(rows + 1)])
    rates = np.linspace(0.004, 0.5, 80)[:, None]
    inside = (ends[:, 0] <= rates) & (rates <= ends[:, 1])
    held = (binom.pmf(np.arange(rows + 1), rows, rates) * inside).sum(1)
    assert held.min() > 0.9
    assert 0.94 < held.mean() < 0.97


def test_rows_of_clusters_have_wilsons_interval_for_their_degrees_of_freedom():
    assert rate_interval(0.25, 20.0, float("inf")) == mid_p(5, 20)
    size = 20 * (quantile(float("inf")) / quantile(9.0)) ** 2
    assert rate_interval(0.25, 20.0, 9.0) == wilson(0.25 * size, size)
    assert np.isnan(rate_interval(float("nan"), 20.0, 9.0)).all()
    together = group_rates(
        *pairs_of(np.zeros(40, int), np.arange(40) < 8, np.zeros(40, int), np.zeros(40, int)), 1
    )
    low, high = rate_interval(float(together.rate[0, 0]), float(together.rows[0, 0]), together.freedom[0])
    assert 0 <= low < 0.2 < high <= 1


@pytest.mark.parametrize("wrong", [(3, 2, 0.95), (-1, 2, 0.95), (0, 0, 0.95), (1, 2, 1.0)])
def test_what_is_no_share_is_refused(wrong):
    with pytest.raises(UsageError, match="is not a share"):
        mid_p(*wrong)
