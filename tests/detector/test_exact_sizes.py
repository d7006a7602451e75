"""Exact sizes of tests of gaps, against all outcomes counted one by one and against simulation."""

import itertools
import json

import numpy as np
import pytest

from benchmarks import coverage, exact_sizes
from benchmarks.exact_sizes import alarms, around, compared, gaps, most_permuted, permutation_size, reachable
from detector.metrics.ties import tail


def every(rows: int, rate: float):
    """(chance, alarms of one group, of the other) of every experiment of two groups."""
    for calls in itertools.product((0, 1), repeat=2 * rows):
        hits = sum(calls)
        yield rate**hits * (1 - rate) ** (2 * rows - hits), calls


def test_sizes_of_gaps_are_those_of_all_experiments():
    found = np.zeros(4)
    for chance, calls in every(3, 0.2):
        found[: abs(sum(calls[:3]) - sum(calls[3:])) + 1] += chance
    chances = gaps(alarms(3, 0.2))
    np.testing.assert_allclose(reachable(np.arange(4), chances=chances), found)
    assert chances.sum() == pytest.approx(1)


@pytest.mark.parametrize("rate", [0.05, 0.3, 0.5])
def test_permutation_sizes_are_those_of_all_experiments(rate):
    """With every permutation drawn once, by the p that reports use."""
    rows, size = 4, 0.0
    seats = [list(one) for one in itertools.combinations(range(2 * rows), rows)]
    for chance, calls in every(rows, rate):
        drawn = np.abs([2 * sum(calls[k] for k in seat) - sum(calls) for seat in seats]) / rows
        found = abs(2 * sum(calls[:rows]) - sum(calls)) / rows
        whole, tied = np.mean(drawn > found + 1e-9), np.mean(np.abs(drawn - found) < 1e-9)
        size += chance * (whole + tied / 2 <= 0.05)
        assert tail(found, np.repeat(drawn, 200)).p() == pytest.approx(whole + tied / 2, abs=1e-3)
    assert permutation_size(rows, rate) == pytest.approx(size)


@pytest.mark.parametrize(("rows", "rate"), [(5, 0.03), (20, 0.03), (60, 0.15)])
def test_ties_at_random_make_the_size_exact_where_there_is_an_alarm(rows, rate):
    """Given any number of alarms but none, or nothing else, it is .05."""
    nothing = (1 - rate) ** (2 * rows) + rate ** (2 * rows)
    assert permutation_size(rows, rate, None) == pytest.approx(0.05 * (1 - nothing), abs=1e-9)
    assert permutation_size(rows, rate, 1.0) <= permutation_size(rows, rate) + 1e-12


@pytest.mark.parametrize("cluster", [1, 4])
def test_alarms_are_those_of_the_simulation(cluster):
    cell = coverage.Cell(2, 20, cluster, "equal")
    _, hits, group = coverage.experiments(cell, np.full(2, 0.15), 20_000, np.random.default_rng(1))
    drawn = np.bincount(hits[group == 0].sum(0).astype(int), minlength=21) / 20_000
    assert alarms(20, 0.15, cluster).sum() == pytest.approx(1)
    np.testing.assert_allclose(drawn, alarms(20, 0.15, cluster), atol=0.012)


def test_the_comparison_has_more_values_than_its_gaps():
    sizes = compared(20, 0.15, 1)
    assert sizes[0] == pytest.approx(1)
    assert len(sizes) > 21
    assert (np.diff(sizes) <= 1e-12).all()


def test_the_rarest_setting_has_no_size_near_the_level():
    """20 rows, a rate of .03: sizes jump over .03 to .07, and five alarms are the least that a permutation
    test rejects for.
    """
    sizes = reachable(np.arange(21), chances=gaps(alarms(20, 0.03)))
    assert not around(sizes)["within"]
    assert not ((sizes >= 0.03) & (sizes <= 0.07)).any()
    assert most_permuted(20, 0.03) < 0.001
    assert permutation_size(20, 0.03) < 0.001
    assert permutation_size(60, 0.03) <= most_permuted(60, 0.03) < 0.02
    assert around(reachable(np.arange(501), chances=gaps(alarms(500, 0.15))))["within"]


def test_simulated_permutation_tests_have_the_exact_size():
    found = coverage.sizes_of_tests(
        coverage.Cell(2, 20, 1, "equal"), np.full(2, 0.15), 400, np.random.default_rng(3)
    )
    assert found["tests"]["F_FPR"] == pytest.approx(permutation_size(20, 0.15), abs=0.03)
    assert found["randomised"]["F_FPR"] == pytest.approx(0.05, abs=0.035)


def test_every_setting_of_two_equal_groups_is_printed(capsys, monkeypatch):
    monkeypatch.setattr(exact_sizes, "ROWS", (20,))
    exact_sizes.main()
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 4
    drawn = [row["permutation"]["ties at random"] for row in map(json.loads, lines) if row["cluster"] == 1]
    assert drawn == pytest.approx([0.05 * (1 - (1 - p) ** 40) for p in (0.15, 0.03)], abs=1e-4)
