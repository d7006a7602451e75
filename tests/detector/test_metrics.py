"""Utility metrics against scikit-learn on random data, and what is undefined."""

import math
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy.interpolate import interp1d
from scipy.optimize import brentq
from sklearn import metrics as oracle

from detector.metrics import rates as metrics
from manifests.errors import UsageError


@st.composite
def labelled_scores(draw):
    """Labels with both classes, and scores with ties."""
    n = draw(st.integers(4, 60))
    y = draw(hnp.arrays(np.int64, n, elements=st.integers(0, 1)))
    y[:2] = 0, 1
    score = draw(hnp.arrays(np.float64, n, elements=st.sampled_from([k / 8 for k in range(9)])))
    return y, score


@settings(max_examples=80, deadline=None)
@given(labelled_scores())
def test_auc_ap_and_accuracy_equal_scikit_learn(data):
    y, score = data
    assert metrics.auc(y, score) == pytest.approx(oracle.roc_auc_score(y, score), abs=1e-12)
    assert metrics.average_precision(y, score) == pytest.approx(
        oracle.average_precision_score(y, score), abs=1e-12
    )
    assert metrics.accuracy(y, score) == pytest.approx(oracle.accuracy_score(y, score >= 0.5), abs=1e-12)


@settings(max_examples=80, deadline=None)
@given(labelled_scores())
def test_rates_equal_the_confusion_matrix(data):
    y, score = data
    tn, fp, fn, tp = oracle.confusion_matrix(y, score >= 0.5).ravel()
    assert metrics.tpr(y, score) == pytest.approx(tp / (tp + fn))
    assert metrics.fpr(y, score) == pytest.approx(fp / (fp + tn))
    assert metrics.positive_rate(score) == pytest.approx((tp + fp) / len(y))


@settings(max_examples=60, deadline=None)
@given(labelled_scores())
def test_roc_equals_scikit_learn(data):
    y, score = data
    fpr, tpr, thresholds = oracle.roc_curve(y, score, drop_intermediate=False)
    curve = metrics.roc(y, score)
    np.testing.assert_allclose(curve.fpr, fpr)
    np.testing.assert_allclose(curve.tpr, tpr)
    np.testing.assert_allclose(curve.thresholds, thresholds)


@pytest.mark.parametrize("seed", range(6))
def test_eer_is_the_crossing_of_the_interpolated_curve(seed):
    rng = np.random.default_rng(seed)
    y = np.r_[0, 1, rng.integers(0, 2, 200)]
    score = rng.normal(y * 0.8, 1.0)
    fpr, tpr, _ = oracle.roc_curve(y, score, drop_intermediate=False)
    expected = brentq(lambda x: 1.0 - x - interp1d(fpr, tpr)(x), 0.0, 1.0)
    found = metrics.eer(y, score)
    # interp1d is ambiguous on a vertical piece: one step of the FPR axis is what may differ
    assert abs(found.rate - expected) <= 1 / np.sum(y == 0)
    assert abs(metrics.fpr(y, score, found.threshold) - found.rate) < 0.02
    assert abs(1 - metrics.tpr(y, score, found.threshold) - found.rate) < 0.02


def test_eer_of_separable_and_of_reversed_scores():
    assert metrics.eer([0, 0, 1, 1], [0.1, 0.2, 0.8, 0.9]).rate == 0
    assert metrics.eer([1, 1, 0, 0], [0.1, 0.2, 0.8, 0.9]).rate == 1
    assert metrics.eer([0, 1, 0, 1], [0.5, 0.5, 0.5, 0.5]).rate == 0.5


@settings(max_examples=40, deadline=None)
@given(labelled_scores(), st.sampled_from([0.5, 0.1, 0.01]))
def test_tpr_at_fpr_is_reached_by_a_real_threshold(data, limit):
    y, score = data
    best = max(
        (metrics.tpr(y, score, t) for t in [np.inf, *score] if metrics.fpr(y, score, t) <= limit),
    )
    assert metrics.tpr_at_fpr(y, score, limit) == pytest.approx(best)


@settings(max_examples=40, deadline=None)
@given(labelled_scores(), st.integers(0, 2**31))
def test_weights_count_rows_as_copies(data, seed):
    y, score = data
    weights = np.random.default_rng(seed).integers(0, 4, len(y))
    weights[:2] = 1
    copied_y, copied_score = np.repeat(y, weights), np.repeat(score, weights)
    assert metrics.auc(y, score, weights) == pytest.approx(metrics.auc(copied_y, copied_score))
    assert metrics.average_precision(y, score, weights) == pytest.approx(
        metrics.average_precision(copied_y, copied_score)
    )
    assert metrics.eer(y, score, weights).rate == pytest.approx(metrics.eer(copied_y, copied_score).rate)


def test_one_class_is_undefined_not_zero():
    only_fake = metrics.utility([1, 1], [0.2, 0.9])
    assert only_fake["TPR"] == 0.5
    assert only_fake["ACC"] == 0.5
    assert only_fake["AP"] == 1.0
    assert all(math.isnan(only_fake[name]) for name in ("FPR", "AUC", "EER", "EER_threshold", "TPR@FPR10%"))
    only_real = metrics.utility([0, 0], [0.2, 0.9])
    assert only_real["FPR"] == 0.5
    assert all(math.isnan(only_real[name]) for name in ("TPR", "AUC", "AP", "EER"))


@pytest.mark.parametrize(
    ("y", "score", "words"),
    [
        ([0, 1], [0.1], "shapes"),
        ([], [], "no row"),
        ([0, 2], [0.1, 0.2], "neither 0 nor 1"),
        ([0, 1], [0.1, math.nan], "row 1"),
        ([0, 1], [math.inf, 0.1], "not finite"),
        ([[0, 1]], [[0.1, 0.2]], "shapes"),
    ],
)
def test_bad_input_is_named(y, score, words):
    with pytest.raises(UsageError) as caught:
        metrics.utility(y, score)
    assert words in f"{caught.value.what} {caught.value.why}"


def test_metrics_import_no_torch():
    code = "import sys, detector.fairness; print('torch' in sys.modules, 'sklearn' in sys.modules)"
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert out.split() == ["False", "False"]
