"""Cluster bootstrap and permutation: against copies of rows, binomial theory, scikit-learn; the same bits per
seed.
"""

import numpy as np
import pytest
from scipy.stats import chi2_contingency, ks_2samp
from sklearn.metrics import roc_auc_score

from detector.metrics import replicates, resampling
from detector.metrics.effective_rows import pairs_of


def scores(n=300, seed=0, clusters=40, groups=3):
    rng = np.random.default_rng(seed)
    cluster = np.r_[np.arange(clusters), rng.integers(0, clusters, n - clusters)]
    group = cluster % groups
    y = rng.integers(0, 2, n)
    score = np.round(np.clip(rng.normal(0.4 + 0.2 * y, 0.25), 0, 1), 2)
    return y, score, cluster, group


def test_counts_of_clusters_and_groups_by_hand():
    y, called = np.array([0, 1, 1, 0, 1]), np.array([True, True, False, False, True])
    group, cluster = np.array([0, 0, 1, 1, -1]), np.array([0, 0, 0, 1, 1])
    counts = replicates.cluster_counts(y, called, group, cluster, 2)
    np.testing.assert_array_equal(counts[0], [[1, 1, 1, 1], [0, 1, 0, 0]])
    np.testing.assert_array_equal(counts[1], [[0, 0, 0, 0], [1, 0, 0, 0]])


def brute_force(y, score, group, cluster, weights, threshold):
    """Counts and AUC per group after copying every row as often as its cluster was drawn."""
    copies = np.repeat(np.arange(len(y)), weights[cluster].astype(int))
    for g in range(group.max() + 1):
        rows = copies[group[copies] == g]
        called, truth = score[rows] >= threshold, y[rows]
        area = roc_auc_score(truth, score[rows]) if len(set(truth)) == 2 else np.nan
        yield (
            [np.sum(truth == 0), np.sum(truth), np.sum(called & (truth == 0)), np.sum(called & (truth == 1))],
            area,
        )


@pytest.mark.parametrize("ties", [2, 12])
def test_a_replicate_equals_the_rows_copied_as_often_as_their_cluster_was_drawn(ties):
    """Clusters reach into several groups, some rows have none, scores tie, one group has no fake, one no
    cluster.
    """
    rng = np.random.default_rng(ties)
    y, score, cluster, _ = scores(seed=ties)
    score = np.round(score, ties)
    group = rng.integers(-1, 4, len(y))
    y[group == 3] = 0
    stratum = resampling.home_groups(group, cluster, 4)
    stratum[5] = -1
    groups = resampling.sorted_groups(y, score, cluster, group, 4, 0.47)
    drawn = resampling.bootstrap(groups, stratum, 9, np.random.default_rng(1))
    weights = np.concatenate(list(replicates.cluster_weights(stratum, 9, np.random.default_rng(1))))
    assert not weights[:, 5].any()
    for r in range(9):
        for g, (counts, area) in enumerate(brute_force(y, score, group, cluster, weights[r], 0.47)):
            np.testing.assert_array_equal(drawn.counts[r, g], counts)
            np.testing.assert_allclose(drawn.auc[r, g], area, atol=1e-12)


def test_chunks_do_not_change_a_bit_of_the_bootstrap():
    y, score, cluster, group = scores()
    groups = resampling.sorted_groups(y, score, cluster, group, 3, 0.5)
    whole, *parts = (
        resampling.bootstrap(groups, cluster[:40] % 3, 25, np.random.default_rng(3), chunk=chunk)
        for chunk in (25, 4, 1)
    )
    for part in parts:
        np.testing.assert_array_equal(whole.counts, part.counts)
        np.testing.assert_array_equal(whole.auc, part.auc)


def test_memory_is_bounded_by_elements():
    for rows, clusters in ((10, 3), (100_000, 5), (5, 300_000), (50_000_000, 1)):
        chunk = resampling.chunk_of(rows, clusters)
        assert 1 <= chunk <= resampling.MOST_REPLICATES
        assert chunk == 1 or chunk * max(rows, clusters) <= resampling.ELEMENTS


def test_home_is_the_group_most_rows_are_in():
    group, cluster = np.array([1, 1, 0, -1, -1, 2, 0]), np.array([0, 0, 0, 0, 1, 2, 2])
    np.testing.assert_array_equal(resampling.home_groups(group, cluster, 3), [1, -1, 0])


def test_every_stratum_keeps_its_number_of_clusters():
    stratum = np.array([2, 0, 0, 2, 2, 5])
    for weights in replicates.cluster_weights(stratum, 30, np.random.default_rng(0)):
        for s in np.unique(stratum):
            np.testing.assert_array_equal(weights[:, stratum == s].sum(1), (stratum == s).sum())


@pytest.mark.parametrize(
    "stratum", [np.zeros(10, np.int64), np.arange(10) % 3, np.array([0, 0, -1, 7, 7, 7, 1])]
)
def test_chunks_do_not_change_the_draw(stratum):
    whole = np.concatenate(list(replicates.cluster_weights(stratum, 25, np.random.default_rng(3), chunk=25)))
    parts = np.concatenate(list(replicates.cluster_weights(stratum, 25, np.random.default_rng(3), chunk=4)))
    np.testing.assert_array_equal(whole, parts)


def test_auc_without_one_class_is_nan():
    group = resampling.SortedScores(np.array([0, 1, 1]), np.array([0.1, 0.2, 0.3]), np.arange(3), 0.5)
    area = group.figures(np.array([[1.0, 0, 0], [1, 1, 0]]))[1]
    assert np.isnan(area[0])
    assert area[1] == 1.0


def test_bootstrap_spread_is_the_binomial_standard_error():
    """Independent rows: the spread of a rate's replicates is sqrt(p (1 - p) / n)."""
    n = 400
    called = np.arange(n) < 120
    counts = replicates.cluster_counts(np.zeros(n, np.int64), called, np.zeros(n, np.int64), np.arange(n), 1)
    drawn = np.concatenate(
        [
            replicates.rates(w @ counts[:, 0])["FPR"]
            for w in replicates.cluster_weights(np.zeros(n, np.int64), 2000, np.random.default_rng(0))
        ]
    )
    assert drawn.std() == pytest.approx(np.sqrt(0.3 * 0.7 / n), rel=0.05)


def test_frames_of_one_cluster_do_not_narrow_the_interval():
    """Copying each row tenfold leaves the clustered interval as it is; taking frames for units would shrink
    it.
    """
    rng = np.random.default_rng(5)
    called = rng.random(80) < 0.3
    widths = []
    for copies in (1, 10):
        counts = replicates.cluster_counts(
            np.zeros(80 * copies, np.int64),
            np.repeat(called, copies),
            np.zeros(80 * copies, np.int64),
            np.repeat(np.arange(80), copies),
            1,
        )[:, 0]
        drawn = np.concatenate(
            [
                replicates.rates(w @ counts)["FPR"]
                for w in replicates.cluster_weights(np.zeros(80, np.int64), 400, np.random.default_rng(9))
            ]
        )
        low, high = replicates.interval(drawn)
        widths.append(high - low)
    assert widths[0] == pytest.approx(widths[1])


def test_permutations_keep_totals_and_numbers_of_clusters_of_every_pattern():
    y, score, cluster, group = scores()
    total = replicates.cluster_counts(y, score >= 0.5, np.zeros_like(group), cluster, 1)[:, 0]
    home = resampling.home_groups(group, cluster, 3)
    home[:2] = -1
    for dealt in replicates.permuted_counts(
        total, home, np.zeros(40, np.int64), 3, 20, np.random.default_rng(0)
    ):
        np.testing.assert_array_equal(dealt.sum(0), total[2:].sum(0))
    one_each = np.tile([1.0, 0, 0, 0], (9, 1))
    one_each[[0, 1, 5]] = [0, 1, 0, 1]
    pattern = np.where(one_each[:, 0] > 0, 1, 2)
    dealt = replicates.permuted_counts(one_each, np.arange(9) % 3, pattern, 3, 20, np.random.default_rng(0))
    np.testing.assert_array_equal(dealt[:, :, 0], np.tile([2, 2, 2], (20, 1)))
    np.testing.assert_array_equal(dealt[:, :, 1], np.ones((20, 3)))


def test_interval_needs_half_of_its_samples():
    nan = np.nan
    assert np.isnan(replicates.interval(np.array([1.0, nan, nan, nan]))[0])
    assert replicates.interval(np.array([1.0, 1.0, 1.0, nan])) == (1.0, 1.0)


def test_dealing_by_kind_is_a_permutation_of_groups():
    """Every table of counts is drawn as often as by permuting one by one: chi-square, and what each deal
    keeps.
    """
    kinds, many, seats = (
        np.array([[1.0, 0, 0, 0], [1, 0, 1, 0], [2, 1, 1, 1]]),
        np.array([5, 4, 2]),
        np.array([4, 5, 2]),
    )
    total, home = np.repeat(kinds, many, axis=0), np.repeat(np.arange(3), seats)
    n = 20_000
    by_kind = replicates.dealt_by_kind(kinds, many, seats, n, np.random.default_rng(1))
    one_by_one = replicates._dealt_one_by_one(total, home, 3, n, np.random.default_rng(2))
    assert np.array_equal(by_kind.sum(1), np.tile(total.sum(0), (n, 1)))
    tables = []
    for part in (by_kind, one_by_one):
        rows, times = np.unique(part.reshape(n, -1), axis=0, return_counts=True)
        tables.append(dict(zip(map(tuple, rows), times.tolist(), strict=True)))
    common = sorted(
        key
        for key in tables[0].keys() | tables[1].keys()
        if tables[0].get(key, 0) + tables[1].get(key, 0) >= 20
    )
    assert len(common) > 20
    counts = np.array([[part.get(key, 0) for key in common] for part in tables])
    assert chi2_contingency(counts).pvalue > 0.001


def test_many_clusters_of_few_kinds_are_dealt_by_kind(monkeypatch):
    """Which of the two roads is taken is a matter of speed alone."""
    rng = np.random.default_rng(3)
    total = np.stack([np.ones(600), np.zeros(600), rng.integers(0, 2, 600), np.zeros(600)], 1)
    home, pattern = np.arange(600) % 3, np.ones(600, np.int64)
    quick = replicates.permuted_counts(total, home, pattern, 3, 2000, np.random.default_rng(0))
    monkeypatch.setattr(replicates, "DRAW", 10**9)
    slow = replicates.permuted_counts(total, home, pattern, 3, 2000, np.random.default_rng(0))
    assert not np.array_equal(quick, slow)
    assert np.array_equal(quick[..., 0], slow[..., 0])
    assert ks_2samp(np.ptp(quick[..., 2], axis=1), np.ptp(slow[..., 2], axis=1)).pvalue > 0.001


@pytest.mark.parametrize("most", [3, 40, 4000])
def test_numbering_and_kinds_are_those_of_unique(most):
    """Few pairs of a group and a cluster are counted in a table, many are sorted."""
    rng = np.random.default_rng(most)
    codes = rng.integers(0, most, 60)
    own, first = replicates.numbered(codes)
    values, where, inverse = np.unique(codes, return_index=True, return_inverse=True)
    np.testing.assert_array_equal(own, inverse)
    np.testing.assert_array_equal(first, where)
    np.testing.assert_array_equal(codes[first], values)
    group, cluster = rng.integers(-1, 3, 60), codes
    y, called = rng.integers(0, 2, 60), rng.random(60) < 0.5
    count, hits, owner = pairs_of(y, called, group, cluster)
    there = sorted({(g, c) for g, c in zip(group.tolist(), cluster.tolist(), strict=True) if g >= 0})
    assert owner.tolist() == [g for g, _ in there]
    for k, (g, c) in enumerate(there):
        mine = (group == g) & (cluster == c)
        assert [count[label, k] for label in (0, 1)] == [(mine & (y == label)).sum() for label in (0, 1)]
        assert [hits[label, k] for label in (0, 1)] == [
            (mine & called & (y == label)).sum() for label in (0, 1)
        ]
    total = rng.integers(0, most, (60, 4)).astype(float)
    for scale in (1.0, 1e12):  # the larger ones do not fit into one number
        kinds, kind = replicates._kinds(total * scale)
        wanted, back = np.unique(total * scale, axis=0, return_inverse=True)
        np.testing.assert_array_equal(kinds, wanted)
        np.testing.assert_array_equal(kind, back.ravel())
