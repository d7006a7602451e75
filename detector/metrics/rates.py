"""Utility of a detector's scores: AUC, AP, EER, accuracy and rates. Undefined is NaN, never a made-up number.

Fake is 1. A score is a fake probability (any finite number will do for the ranking metrics); a row is called
fake where score >= threshold, as the published deepfake benchmarks do. All functions take optional row
`weights` (float64 [N], >= 0), so that a bootstrap can count a row twice without copying it. numpy only.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from manifests.errors import UsageError

Floats = npt.NDArray[np.float64]
Labels = npt.NDArray[np.int64]
NAN = float("nan")
FPR_LIMITS = (0.1, 0.01, 0.001)


class Roc(NamedTuple):
    """A ROC curve, one point per distinct score, from (0, 0) at threshold +inf to (1, 1). All float64 [K +
    1].
    """

    fpr: Floats
    tpr: Floats
    thresholds: Floats


class Eer(NamedTuple):
    """The equal error rate and the threshold that comes nearest to it."""

    rate: float
    threshold: float


def check_scores(y_true: npt.ArrayLike, y_score: npt.ArrayLike) -> tuple[Labels, Floats]:
    """Labels and scores as int64 [N] and float64 [N].

    Raises:
        UsageError: lengths differ, a label is neither 0 nor 1, a score is NaN or infinite, or there is no
            row.
    """
    labels, scores = np.asarray(y_true), np.asarray(y_score, np.float64)
    if labels.ndim != 1 or labels.shape != scores.shape:
        raise UsageError(
            "labels and scores",
            f"have shapes {list(labels.shape)} and {list(scores.shape)}",
            "give one label and one score per row",
        )
    if not labels.size:
        raise UsageError("labels and scores", "have no row", "give at least one row")
    strange = np.flatnonzero(~np.isin(labels, (0, 1)))
    if strange.size:
        raise UsageError(
            f"label of row {strange[0]}",
            f"is {labels[strange[0]]}, and {strange.size} rows are neither 0 nor 1",
            "label real 0 and fake 1",
        )
    bad = np.flatnonzero(~np.isfinite(scores))
    if bad.size:
        raise UsageError(
            f"score of row {bad[0]}",
            f"is {scores[bad[0]]}; {bad.size} of {scores.size} scores are not finite",
            "leave those rows out, or score them again",
        )
    return labels.astype(np.int64), scores


def _ratio(part: float, whole: float) -> float:
    return float(part / whole) if whole > 0 else NAN


def _weights(weights: npt.ArrayLike | None, n: int) -> Floats:
    return np.ones(n) if weights is None else np.asarray(weights, np.float64)


def roc(y_true: npt.ArrayLike, y_score: npt.ArrayLike, weights: npt.ArrayLike | None = None) -> Roc:
    """The ROC curve without dropping points; NaN on the axis of a class that has no weight.

    Raises:
        UsageError: see `check_scores`.
    """
    return _curve(_ranked(y_true, y_score, weights))


class _Ranked(NamedTuple):
    """Weights of fakes, of reals and of all rows from each distinct score on, the highest score first."""

    tp: Floats
    fp: Floats
    called: Floats
    thresholds: Floats


def _ranked(y_true: npt.ArrayLike, y_score: npt.ArrayLike, weights: npt.ArrayLike | None) -> _Ranked:
    """Rows in the order of their scores: the one sort that all ranking figures share."""
    y, s = check_scores(y_true, y_score)
    # Without weights the sums are whole numbers, in whatever order equal scores come.
    order = np.argsort(-s, kind=None if weights is None else "stable")
    w = _weights(weights, len(y))[order]
    y, s = y[order], s[order]
    last = np.append(np.flatnonzero(np.diff(s)), len(s) - 1)
    tp, fp, called = (np.cumsum(part)[last] for part in (w * (y == 1), w * (y == 0), w))
    return _Ranked(tp, fp, called, s[last])


def _curve(found: _Ranked) -> Roc:
    curves = []
    for counts in (found.fp, found.tp):
        rate = counts / counts[-1] if counts[-1] > 0 else np.full(len(counts), NAN)
        curves.append(np.concatenate([[0.0 if counts[-1] > 0 else NAN], rate]))
    return Roc(curves[0], curves[1], np.concatenate([[np.inf], found.thresholds]))


def auc(y_true: npt.ArrayLike, y_score: npt.ArrayLike, weights: npt.ArrayLike | None = None) -> float:
    """Area under the ROC curve in [0, 1]: P(score of a fake > score of a real), ties a half. NaN without both
    classes.
    """
    return _area(roc(y_true, y_score, weights))


def _area(curve: Roc) -> float:
    return float(np.trapezoid(curve.tpr, curve.fpr))


def average_precision(
    y_true: npt.ArrayLike, y_score: npt.ArrayLike, weights: npt.ArrayLike | None = None
) -> float:
    """Average precision: sum over thresholds of (recall step) x precision, not interpolated. NaN without a
    fake.
    """
    return _precision(_ranked(y_true, y_score, weights))


def _precision(found: _Ranked) -> float:
    tp, called = found.tp, found.called
    if tp[-1] <= 0:
        return NAN
    steps = np.diff(tp, prepend=0.0)
    kept = steps > 0
    return float(np.sum(steps[kept] * tp[kept] / called[kept]) / tp[-1])


def eer(y_true: npt.ArrayLike, y_score: npt.ArrayLike, weights: npt.ArrayLike | None = None) -> Eer:
    """Equal error rate: where FPR = 1 - TPR on the ROC curve, linear between its points. NaN without both
    classes.

    The threshold is the score whose two error rates lie nearest to each other (the highest of several).
    Published code often takes the FPR at that point instead of the crossing; the two differ by at most one
    step.
    """
    return _equal_error(roc(y_true, y_score, weights))


def _equal_error(curve: Roc) -> Eer:
    gap = (1.0 - curve.tpr) - curve.fpr  # falls from 1 to -1
    if np.isnan(gap).any():
        return Eer(NAN, NAN)
    right = int(np.argmax(gap <= 0))
    left = right - 1
    share = gap[left] / (gap[left] - gap[right])
    rate = curve.fpr[left] + share * (curve.fpr[right] - curve.fpr[left])
    return Eer(float(rate), float(curve.thresholds[1:][np.argmin(np.abs(gap[1:]))]))


def called_fake(y_score: npt.ArrayLike, threshold: float) -> npt.NDArray[np.bool_]:
    """Which rows are called fake: bool [N], score >= threshold."""
    return np.asarray(y_score, np.float64) >= threshold


def accuracy(y_true: npt.ArrayLike, y_score: npt.ArrayLike, threshold: float = 0.5) -> float:
    """Share of rows called rightly, in [0, 1]."""
    y, s = check_scores(y_true, y_score)
    return float(np.mean(called_fake(s, threshold) == (y == 1)))


def tpr(y_true: npt.ArrayLike, y_score: npt.ArrayLike, threshold: float = 0.5) -> float:
    """Share of the fakes that are called fake, in [0, 1]; NaN without a fake."""
    y, s = check_scores(y_true, y_score)
    return _ratio(int(np.sum(called_fake(s, threshold) & (y == 1))), int(np.sum(y == 1)))


def fpr(y_true: npt.ArrayLike, y_score: npt.ArrayLike, threshold: float = 0.5) -> float:
    """Share of the real images that are called fake, in [0, 1]; NaN without a real image."""
    y, s = check_scores(y_true, y_score)
    return _ratio(int(np.sum(called_fake(s, threshold) & (y == 0))), int(np.sum(y == 0)))


def positive_rate(y_score: npt.ArrayLike, threshold: float = 0.5) -> float:
    """Share of rows called fake, in [0, 1]; NaN without a row."""
    called = called_fake(y_score, threshold)
    return float(called.mean()) if called.size else NAN


def tpr_at_fpr(y_true: npt.ArrayLike, y_score: npt.ArrayLike, limit: float) -> float:
    """The best TPR of any threshold whose FPR is at most `limit`; NaN without both classes.

    No interpolation: the figure belongs to a threshold that one could set. Fewer than 1 / limit real images
    cannot resolve the limit, and the figure is then that at FPR 0.
    """
    return _best_tpr(roc(y_true, y_score), limit)


def _best_tpr(curve: Roc, limit: float) -> float:
    if np.isnan(curve.fpr[0]) or np.isnan(curve.tpr[0]):
        return NAN
    return float(curve.tpr[curve.fpr <= limit].max())


def utility(y_true: npt.ArrayLike, y_score: npt.ArrayLike, threshold: float = 0.5) -> dict[str, float]:
    """AUC, AP, EER, EER_threshold, ACC, TPR, FPR, PR and TPR at FPR 10, 1 and 0.1 %, with n, n_real and
    n_fake.

    Raises:
        UsageError: see `check_scores`.
    """
    y, s = check_scores(y_true, y_score)
    found = _ranked(y, s, None)
    curve = _curve(found)
    equal = _equal_error(curve)
    return {
        "n": len(y),
        "n_real": int(np.sum(y == 0)),
        "n_fake": int(np.sum(y == 1)),
        "AUC": _area(curve),
        "AP": _precision(found),
        "EER": equal.rate,
        "EER_threshold": equal.threshold,
        "ACC": accuracy(y, s, threshold),
        "TPR": tpr(y, s, threshold),
        "FPR": fpr(y, s, threshold),
        "PR": positive_rate(s, threshold),
        **{f"TPR@FPR{100 * limit:g}%": _best_tpr(curve, limit) for limit in FPR_LIMITS},
    }
