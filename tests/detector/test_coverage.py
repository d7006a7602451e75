"""Intervals hold the truth and tests keep their size on a reduced grid; what each part of them does, by
hand.
"""

import itertools
import json
import math
from pathlib import Path

import numpy as np
import pytest
from scipy.special import xlogy
from scipy.stats import binom, norm
from scipy.stats import t as student

from benchmarks import coverage, coverage_table
from detector import fairness
from detector.metrics.auc_error import auc_error, components
from detector.metrics.binomial import drawn
from detector.metrics.comparison import compare
from detector.metrics.effective_rows import group_rates, pairs_of
from detector.metrics.gap_intervals import invert, most, settled, with_width
from detector.metrics.ties import tail


@pytest.mark.parametrize(
    ("groups", "rows", "cluster", "rates"),
    [
        (2, 60, 1, "equal"),
        (8, 40, 1, "equal"),
        (8, 40, 1, "apart"),
        (4, 60, 4, "spread"),
        (2, 20, 1, "rare apart"),
        (4, 20, 1, "rare"),
    ],
)
def test_intervals_of_gaps_and_rates_hold_the_truth(groups, rows, cluster, rates):
    """120 experiments: at 95 % fewer than 106 hold the truth once in 700 times."""
    found = coverage.measure(coverage.Cell(groups, rows, cluster, rates), 120, 120, 0, 0)
    assert found["coverage"] >= 106 / 120
    assert found["rate coverage"] >= 0.88
    if rates in ("equal", "rare"):
        assert found["corrected"] < 0.9 * found["found"]
    elif rates == "apart":
        assert abs(found["corrected"] - 0.2) < 0.5 * abs(found["found"] - 0.2)


def test_tests_keep_their_size_for_a_fair_detector():
    sizes = coverage.sizes_of_tests(
        coverage.Cell(4, 60, 1, "equal"), np.full(4, 0.15), 80, np.random.default_rng(1), 99
    )
    assert all(0 < size < 0.15 for kind in sizes.values() for size in kind.values()), sizes


def test_the_fast_bootstrap_of_rows_is_that_of_fairlearn():
    """Its ends on the same data, as far as two draws of 150 agree; and as it should not, equal groups are
    hardly ever held.
    """
    from fairlearn.metrics import MetricFrame, false_positive_rate

    for hits in ((2, 9, 5), (0, 1, 12)):
        called = np.concatenate([np.arange(30) < k for k in hits]).astype(int)
        frame = MetricFrame(
            metrics=false_positive_rate,
            y_true=0 * called,
            y_pred=called,
            sensitive_features=np.repeat([*"abc"], 30),
            n_boot=150,
            ci_quantiles=[0.025, 0.975],
            random_state=1,
        )
        fast = coverage.bootstrap_ends(np.array([hits], float), 30, 150, np.random.default_rng(2))
        np.testing.assert_allclose(np.ravel(fast), np.array(frame.difference_ci(), float), atol=0.08)
    assert coverage.row_bootstrap(coverage.Cell(4, 60, 1, "equal"), 200)["bootstrap"]["coverage"] < 0.05


def test_the_area_interval_holds_the_truth():
    assert coverage.area_coverage((40, 40), 2.0, 4, 100)["coverage"] >= 0.87


def test_permutation_finds_a_parity_gap_where_each_row_is_a_cluster():
    """Labels dealt out with the rows would drown it: the share of fakes of a group would vary by chance."""
    rng, y, called, group = np.random.default_rng(0), [], [], []
    for g, label in itertools.product(range(8), (0, 1)):
        rate = 0.15 + 0.7 * label + 0.14 * (g == 7)
        y += [label] * 100
        called += list(rng.random(100) < rate)
        group += [f"g{g}"] * 100
    null = fairness.report(y, np.array(called, float), {"g": group}, replicates=200).gaps["g"]["null"]["F_DP"]
    assert null["p"] < 0.05
    assert null["p95"] < 0.13


def _likelihood(rates, weight, found):
    return (weight * (xlogy(found, rates) + xlogy(1 - found, 1 - rates))).sum()


def test_rates_of_a_width_are_the_likeliest_with_it():
    """Against a search over floors and, of too narrow a set, over which two groups move apart."""
    rates, weight = np.array([0.1, 0.2, 0.5]), np.array([30.0, 20.0, 50.0])
    narrow = with_width(rates, weight, np.array(0.2))
    assert np.ptp(narrow) == pytest.approx(0.2)
    floors = np.linspace(0.001, 0.799, 7981)
    best = max(_likelihood(np.clip(rates, a, a + 0.2), weight, rates) for a in floors)
    assert _likelihood(narrow, weight, rates) == pytest.approx(best, abs=1e-6)
    wide, moved = with_width(rates, weight, np.array(0.5)), []
    for a in np.linspace(0.001, 0.1, 991):
        moved.append(_likelihood(np.array([a, 0.2, a + 0.5]), weight, rates))
    assert np.ptp(wide) == pytest.approx(0.5)
    assert _likelihood(wide, weight, rates) == pytest.approx(max(moved), abs=1e-6)
    np.testing.assert_allclose(with_width(1 - rates, weight, np.array(0.2)), 1 - narrow, atol=1e-5)
    np.testing.assert_allclose(with_width(np.zeros(2), np.ones(2), np.array(0.3)), [0, 0.3])


def test_few_clusters_make_an_interval_wider():
    """As much as Student's quantile is above the normal one; not where rows stand alone."""
    values, rows, known = np.array([[0.4, 0.6]]), np.full((1, 2), 300.0), np.ones((1, 2), bool)
    plain, alone, few = (
        invert(values, rows, known, lambda v: most(v[0]), 4000, np.random.default_rng(0), freedom=free)
        for free in (None, [math.inf], [6.0])
    )
    assert plain == alone
    wider = (few.high - few.low) / (plain.high - plain.low)
    assert wider == pytest.approx(student.ppf(0.975, 6) / 1.96, rel=0.06)


@pytest.mark.parametrize(("n", "p"), [(20, 0.1), (60, 0.02), (100, 0.5), (40, 0.9)])
def test_draws_are_binomial(n, p):
    at = (np.arange(4000) + 0.5) / 4000
    hits = np.rint(drawn(np.array(p), np.array(float(n)), norm.ppf(at)) * n)
    share = np.array([(hits <= k).mean() for k in range(n + 1)])
    assert np.abs(share - binom.cdf(np.arange(n + 1), n, p)).max() < 0.03


@pytest.mark.parametrize(("n", "p"), [(20.0, 0.03), (20.0, 0.97), (60.0, 0.1), (400.0, 0.01), (9.0, 0.5)])
def test_few_alarms_have_their_exact_chances(n, p):
    at = (np.arange(20_000) + 0.5) / 20_000
    hits = np.rint(drawn(np.array(p), np.array(n), norm.ppf(at)) * n)
    share = np.bincount(hits.astype(int), minlength=int(n) + 1) / len(at)
    np.testing.assert_allclose(share, binom.pmf(np.arange(n + 1), n, p), atol=2e-4)


def test_rows_that_are_no_whole_number_have_draws_between():
    at = norm.ppf((np.arange(20_000) + 0.5) / 20_000)
    none = [float((drawn(np.array(0.05), np.array(n), at) == 0).mean()) for n in (20.0, 20.5, 21.0)]
    assert none[0] > none[1] > none[2]
    assert set(drawn(np.array([0.0, 1.0]), np.array([9.5, 9.5]), at).ravel()) == {0.0, 1.0}


def test_groups_are_drawn_as_far_apart_as_chance_leaves_them():
    """All but one, on either side: alike where chance explains them, else nearer by its share."""
    rates = np.array([[0.1, 0.13, 0.07, 0.1, 0.1, 0.3, 0.1]])
    known, size = np.ones((1, 7), bool), np.full((1, 7), 60.0)
    np.testing.assert_allclose(settled(rates, size, known), [[0.1] * 5 + [0.3, 0.1]])
    np.testing.assert_allclose(settled(1 - rates, size, known), [[0.9] * 5 + [0.7, 0.9]])
    near = settled(rates, 100 * size, known)
    six = np.delete(rates[0], 5)
    q = 6000 * ((six - 0.1) ** 2).sum() / (0.1 * 0.9)
    assert np.var(np.delete(near[0], 5)) == pytest.approx(np.var(six) * (1 - 5 / q))
    assert near[0, 5] == 0.3
    known[0, [0, 2, 3, 4, 6]] = False
    np.testing.assert_array_equal(settled(rates, size, known), rates)
    known[:] = True
    far = np.array([[0.12, 0.08, 0.1, 0.1, 0.1, 0.1, 0.9]])
    found = invert(far, size, np.ones((1, 7), bool), lambda v: most(v[0]), 300, np.random.default_rng(0))
    assert found.low < 0.8 < found.high


def test_no_hit_anywhere_leaves_the_upper_end_above_zero():
    known = np.ones((1, 3), bool)
    found = invert(
        np.zeros((1, 3)), np.full((1, 3), 40.0), known, lambda v: most(v[0]), 400, np.random.default_rng(0)
    )
    assert found.low == found.estimate == 0
    assert 0.04 < found.high < 0.25


def test_effective_rows_are_rows_or_clusters_at_the_extremes():
    y, cluster, group = np.zeros(400, int), np.repeat(np.arange(100), 4), np.repeat([0, 1], 200)
    rng = np.random.default_rng(0)
    alike, apart = np.repeat(rng.random(100) < 0.3, 4), rng.random(400) < 0.3
    rows = [
        group_rates(*pairs_of(y, called, group, own), 2).rows[0]
        for called, own in ((alike, cluster), (apart, cluster), (apart, np.arange(400)))
    ]
    np.testing.assert_allclose(rows[0], 50)
    assert (rows[1] > 120).all()
    np.testing.assert_array_equal(rows[2], 200)


def test_parity_of_a_mixed_group_has_the_error_of_its_strata():
    """Half reals at .1 and half fakes at .9: the error of the share called fake is far below that of one
    share at .5.
    """
    y = np.repeat([0, 1], 500)
    called = np.r_[np.arange(500) < 50, np.arange(500) < 450]
    rates = group_rates(*pairs_of(y, called, np.zeros(1000, int), np.arange(1000)), 1).combined()
    value, rows = (float(part[0]) for part in rates["PR"])
    assert value == 0.5
    assert 0.25 / rows == pytest.approx(0.09 / 1000, rel=0.05)


def test_area_components_sum_to_nothing_and_give_delongs_variance():
    rng = np.random.default_rng(3)
    y = rng.integers(0, 2, 80)
    score = rng.normal(y, 1)
    value, parts = components(y, score)
    assert parts.sum() == pytest.approx(0, abs=1e-12)
    wins = (score[y == 1][:, None] > score[y == 0]) + 0.5 * (score[y == 1][:, None] == score[y == 0])
    variance = wins.mean(1).var(ddof=1) / wins.shape[0] + wins.mean(0).var(ddof=1) / wins.shape[1]
    found = auc_error(y, score, np.arange(80), np.zeros(80, int))
    assert value == pytest.approx(wins.mean())
    assert value * (1 - value) / found.rows == pytest.approx(variance)


def test_perfect_scores_have_an_interval_and_missing_classes_none():
    perfect = auc_error(np.repeat([0, 1], 20), np.arange(40.0), np.arange(40), np.zeros(40, int))
    low, high = perfect.interval()
    assert 0.8 < low < 0.95
    assert high == 1
    assert np.isnan(
        auc_error(np.ones(3, int), np.arange(3.0), np.arange(3), np.zeros(3, int)).interval()
    ).all()


@pytest.mark.parametrize("groups", [2, 4])
def test_the_comparison_of_like_detectors_keeps_its_size(groups):
    """A difference of two gaps is often at its bound; with ties counted whole, p of two groups was almost
    never low.
    """
    small = []
    for seed in range(80):
        rng = np.random.default_rng(seed)
        y, group = np.zeros(240, int), [*"abcd"[:groups]] * (240 // groups)
        y[:8] = 1
        base = rng.normal(size=240)
        a, b = (base + rng.normal(0, 0.7, 240) for _ in range(2))
        small.append(
            compare(y, a, b, {"g": group}, threshold_a=1, threshold_b=1, replicates=99)["gaps"]["g"]["F_FPR"][
                "p"
            ]
        )
    assert 0.12 < np.mean(np.array(small) <= 0.25) < 0.4


def test_ties_count_half_and_a_finer_measure_orders_them():
    drawn = np.array([0.1, 0.2, 0.2, 0.3, np.nan])
    assert tail(0.2, drawn).p() == pytest.approx((1 + (2 + 1) / 2) / 5)
    assert tail(0.2, drawn, 5.0, np.array([9.0, 6.0, 5.0, 0.0, 9.0])).p() == pytest.approx(
        (2 + (1 + 1) / 2) / 5
    )


def test_the_page_of_the_grid_says_what_the_logs_say(tmp_path, capsys):
    """Two logs of the same small grid: coverage and sizes from one, the bootstrap from the other; what is out
    of bounds is bold.
    """
    rows = [coverage.measure(coverage.Cell(2, 20, 1, rates), 60, 60, 20, 0) for rates in coverage.RATES]
    boots = [coverage.row_bootstrap(coverage.Cell(2, 20, 1, rates), 60) for rates in coverage.RATES]
    area = coverage.area_coverage((20, 20), 1.0, 1, 20)
    for name, lines in (("grid", [*rows, area]), ("boots", boots)):
        (tmp_path / name).write_text("".join(json.dumps(line) + "\n" for line in lines))
    assert coverage_table.main([str(tmp_path / "boots"), str(tmp_path / "grid")]) == 0
    page = capsys.readouterr().out
    assert coverage_table.HEAD.splitlines()[0] in page
    rare, drawn = rows[1]["coverage"], rows[1]["random"]["coverage"]
    assert rare > 0.97
    assert drawn < rare
    assert (
        f"| **{coverage_table.share(rare)}** / {coverage_table.share(drawn, coverage_table.HELD)} |" in page
    )
    of_test = [coverage_table.of_test(rows[1], "F_FPR", ties) for ties in ("mid", "random")]
    assert f"| {' / '.join(coverage_table.share(size, coverage_table.SIZES) for size in of_test)} |" in page
    assert "in each 60 experiments for the intervals" in page
    assert f"| {coverage_table.share(boots[0]['bootstrap']['coverage'], coverage_table.HELD)} |" in page
    assert f"| 20 | 20 | 1 | .760 | {coverage_table.share(area['coverage'], coverage_table.HELD)} |" in page
    for words in ([str(tmp_path / "boots")], [str(tmp_path / "absent")]):
        with pytest.raises(SystemExit, match="2"):
            coverage_table.main(words)


def test_the_page_in_the_documents_is_of_the_whole_grid():
    page = (Path(__file__).parents[2] / "docs/measurements/coverage.md").read_text(encoding="utf-8")
    assert f"A simulation of {len(coverage.grid())} settings" in page
    parts = itertools.product(coverage.GROUPS, coverage.ROWS, coverage.CLUSTERS)
    assert all(page.count(f"| {' | '.join(map(str, part))} |") >= 6 for part in parts)
