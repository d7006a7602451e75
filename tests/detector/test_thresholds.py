"""Thresholds fixed on validation: each policy does what its name says, on any scores."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from detector.metrics.rates import fpr, tpr
from detector.metrics.thresholds import needs_validation, threshold_of
from manifests.errors import UsageError

SCORES = st.lists(
    st.tuples(st.integers(0, 1), st.integers(0, 20).map(lambda k: k / 20)), min_size=2, max_size=40
).filter(lambda rows: {y for y, _ in rows} == {0, 1})


@given(SCORES, st.sampled_from(["0", "0.05", "0.1", "0.5", "1"]))
def test_val_fpr_is_the_lowest_threshold_within_the_limit(rows, limit):
    y, s = map(np.array, zip(*rows, strict=True))
    found = threshold_of(f"val-fpr@{limit}", y, s)
    assert fpr(y, s, found) <= float(limit) + 1e-12
    lower = [
        t for t in {*s.tolist(), *np.nextafter(s, 2).tolist()} if t < found and fpr(y, s, t) <= float(limit)
    ]
    assert all(fpr(y, s, t) == fpr(y, s, found) and tpr(y, s, t) == tpr(y, s, found) for t in lower)


@given(SCORES)
def test_val_eer_comes_as_near_as_any_score_can(rows):
    y, s = map(np.array, zip(*rows, strict=True))
    found = threshold_of("val-eer", y, s)
    gap = abs(fpr(y, s, found) - (1 - tpr(y, s, found)))
    assert gap <= min(abs(fpr(y, s, t) - (1 - tpr(y, s, t))) for t in s) + 1e-12


def test_fixed_and_numbers():
    assert threshold_of("fixed") == 0.5
    assert threshold_of("0.25") == 0.25
    assert threshold_of("1") == 1.0
    assert not needs_validation("fixed")
    assert needs_validation("val-fpr@0.1")


@pytest.mark.parametrize("policy", ["val-err", "val-fpr@", "val-fpr@2", "1.5", "", "-0.1"])
def test_unknown_policies(policy):
    with pytest.raises(UsageError, match="not known"):
        threshold_of(policy, [0, 1], [0.1, 0.9])


def test_one_class_on_validation():
    with pytest.raises(UsageError, match="real and fake"):
        threshold_of("val-eer", [1, 1], [0.1, 0.9])
    with pytest.raises(UsageError, match="needs real"):
        threshold_of("val-fpr@0.1", [1, 1], [0.1, 0.9])
    with pytest.raises(UsageError, match="no validation"):
        threshold_of("val-eer")
