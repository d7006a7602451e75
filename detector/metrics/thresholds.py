"""Where a score is called fake: fixed, or fixed on validation scores; never on the test."""

from __future__ import annotations

import math
import re

import numpy as np
import numpy.typing as npt

from detector.metrics.rates import check_scores, eer
from detector.training.settings import THRESHOLD
from manifests.errors import UsageError

POLICIES = ("fixed", "val-eer", "val-fpr@X")


def needs_validation(policy: str) -> bool:
    """Whether the policy asks for validation scores.

    Raises:
        UsageError: no such policy.
    """
    if not re.match(THRESHOLD, policy):
        raise UsageError(
            f"threshold {policy!r}", "is not known", f"give a number in [0, 1], or {', '.join(POLICIES)}"
        )
    return policy.startswith("val-")


def threshold_of(
    policy: str, y_true: npt.ArrayLike | None = None, y_score: npt.ArrayLike | None = None
) -> float:
    """The threshold of a policy.

    Args:
        policy: `fixed` (0.5), a number, `val-eer` (false alarms and misses equally frequent), `val-fpr@0.05`
            (the lowest threshold with at most that share of real images called fake).
        y_true: labels of the validation images (1 fake), where the policy needs them.
        y_score: their scores.

    Raises:
        UsageError: no such policy; validation scores without the class that it needs.
    """
    if not needs_validation(policy):
        return 0.5 if policy == "fixed" else float(policy)
    if y_true is None or y_score is None:
        raise UsageError(
            f"threshold {policy!r}", "has no validation scores", "name a manifest with a val split"
        )
    y, score = check_scores(y_true, y_score)
    if policy == "val-eer":
        found = eer(y, score).threshold
        if not math.isfinite(found):
            raise UsageError(
                f"threshold {policy!r}", "needs real and fake validation images", "name another manifest"
            )
        return float(found)
    limit = float(policy.partition("@")[2])
    reals = np.sort(score[y == 0])
    if not len(reals):
        raise UsageError(f"threshold {policy!r}", "needs real validation images", "name another manifest")
    allowed = math.floor(limit * len(reals) + 1e-9)
    if allowed >= len(reals):
        return float(score.min())
    return float(np.nextafter(reals[len(reals) - 1 - allowed], np.inf))
