"""Every metric against scikit-learn and fairlearn on drawn data: ties, weights, groups of one class."""

import fairlearn.metrics as fl
import numpy as np
import pytest
import sklearn.metrics as sk
from hypothesis import given, settings
from hypothesis import strategies as st

from detector import fairness
from detector.metrics import rates as metrics

SETTINGS = settings(max_examples=25, deadline=None)


@st.composite
def scored(draw, least=2):
    """Labels of both classes and scores with many ties."""
    n = draw(st.integers(least, 40))
    y = draw(st.lists(st.integers(0, 1), min_size=n, max_size=n))
    y[0], y[1] = 0, 1
    s = draw(st.lists(st.integers(0, 8), min_size=n, max_size=n))
    return np.array(y), np.array(s) / 8


@SETTINGS
@given(scored(), st.integers(0, 2**31))
def test_ranking_metrics_with_and_without_weights(data, seed):
    y, s = data
    weights = np.random.default_rng(seed).integers(0, 4, len(y)).astype(float)
    weights[:2] = 1
    for w in (None, weights):
        assert metrics.auc(y, s, w) == pytest.approx(sk.roc_auc_score(y, s, sample_weight=w), abs=1e-12)
        assert metrics.average_precision(y, s, w) == pytest.approx(
            sk.average_precision_score(y, s, sample_weight=w), abs=1e-12
        )
    for w in (None, weights + 1):  # scikit-learn drops the points of rows without weight
        mine, theirs = metrics.roc(y, s, w), sk.roc_curve(y, s, sample_weight=w, drop_intermediate=False)
        np.testing.assert_allclose(mine.fpr, theirs[0], atol=1e-12)
        np.testing.assert_allclose(mine.tpr, theirs[1], atol=1e-12)


@SETTINGS
@given(scored(), st.integers(0, 9))
def test_threshold_metrics(data, step):
    y, s = data
    limit = step / 8
    called = (s >= limit).astype(int)
    assert metrics.accuracy(y, s, limit) == pytest.approx(sk.accuracy_score(y, called))
    assert metrics.tpr(y, s, limit) == pytest.approx(sk.recall_score(y, called))
    assert metrics.fpr(y, s, limit) == pytest.approx(1 - sk.recall_score(y, called, pos_label=0))


@SETTINGS
@given(scored(least=12), st.integers(2, 4), st.integers(0, 2**31))
def test_gaps_equal_fairlearn_and_differ_only_where_a_group_lacks_a_class(data, n_group, seed):
    """fairlearn counts 0 for a rate without a denominator; here it is undefined and stands in no gap."""
    y, s = data
    group = np.random.default_rng(seed).integers(0, n_group, len(y)).astype(str)
    called = (s >= 0.5).astype(int)
    gaps = fairness.report(y, s, {"g": group.tolist()}, min_n=1, replicates=0).gaps["g"]
    frame = fl.MetricFrame(
        metrics={
            "F_TPR": fl.true_positive_rate,
            "F_FPR": fl.false_positive_rate,
            "F_OAE": sk.accuracy_score,
            "F_DP": fl.selection_rate,
        },
        y_true=y,
        y_pred=called,
        sensitive_features=group,
    ).by_group
    with_fakes = [g for g in set(group) if (y[group == g] == 1).any()]
    with_reals = [g for g in set(group) if (y[group == g] == 0).any()]
    for name, names in (
        ("F_TPR", with_fakes),
        ("F_FPR", with_reals),
        ("F_OAE", set(group)),
        ("F_DP", set(group)),
    ):
        values = frame.loc[list(names), name]
        if len(values) < 2:
            assert np.isnan(gaps[name])
        else:
            assert gaps[name] == pytest.approx(values.max() - values.min(), abs=1e-12)


def test_eer_lies_on_sklearns_curve():
    rng = np.random.default_rng(0)
    y = rng.integers(0, 2, 500)
    s = rng.normal(y, 1)
    fpr, tpr, _ = sk.roc_curve(y, s, drop_intermediate=False)
    found = metrics.eer(y, s).rate
    assert found == pytest.approx(1 - np.interp(found, fpr, tpr), abs=1 / 200)
    nearest = fpr[np.argmin(np.abs(fpr + tpr - 1))]
    assert abs(found - nearest) <= 1 / min((y == 0).sum(), (y == 1).sum())
