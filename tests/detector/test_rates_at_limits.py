"""Rates where a limit is met exactly."""

from __future__ import annotations

from detector.metrics.rates import tpr_at_fpr


def test_a_limit_that_is_met_exactly_counts_as_kept():
    truth, score = [0, 0, 0, 0, 1, 1, 1, 1], [0.1, 0.2, 0.3, 0.9, 0.5, 0.8, 0.85, 0.95]
    assert tpr_at_fpr(truth, score, 0.25) == 1.0, "at 0.4 one of four real images is called fake"
    assert tpr_at_fpr(truth, score, 0.2499) == 0.25
