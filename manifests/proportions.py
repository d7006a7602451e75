"""Shares with intervals: Wilson's interval of one share, the mean of several, and counts corrected for errors."""

from __future__ import annotations

import math
from collections.abc import Sequence
from statistics import NormalDist

import numpy as np

from manifests.errors import UsageError
from manifests.seeding import rng_of

LEVEL = 0.95


def wilson(right: int, n: int, level: float = LEVEL) -> tuple[float, float]:
    """The interval of a share `right / n`: (lower, upper), (0, 1) where n is 0.

    Wilson, "Probable inference, the law of succession, and statistical inference", JASA 1927.

    Raises:
        UsageError: not 0 <= right <= n, or a level outside (0, 1).
    """
    if not 0 <= right <= n or not 0 < level < 1:
        raise UsageError(f"{right} of {n} at level {level}", "is not a share", "give 0 <= right <= n and 0 < level < 1")
    if n == 0:
        return 0.0, 1.0
    z = NormalDist().inv_cdf(0.5 + level / 2)
    rate, weight = right / n, 1 + z * z / n
    centre = (rate + z * z / (2 * n)) / weight
    half = z * math.sqrt(rate * (1 - rate) / n + z * z / (4 * n * n)) / weight
    return (0.0 if right == 0 else max(0.0, centre - half)), (1.0 if right == n else min(1.0, centre + half))


def share(right: int, n: int, level: float = LEVEL) -> dict[str, float | int | None]:
    """`n`, `value` (None where n is 0), `lower` and `upper` of a share, rounded to four places."""
    lower, upper = wilson(right, n, level)
    return {"n": n, "value": round(right / n, 4) if n else None, "lower": round(lower, 4), "upper": round(upper, 4)}


def mean_of_shares(
    pairs: Sequence[tuple[int, int]], seed: int = 0, level: float = LEVEL, draws: int = 2000,
) -> dict[str, float | int | None]:
    """The mean of several shares `right / n` (balanced accuracy), as `share`, by a seeded parametric bootstrap.

    Classes without a case are left out; each share is drawn from its Jeffreys posterior, so that 0 and 1 have a width.
    """
    present = [(right, n) for right, n in pairs if n]
    if not present:
        return {"n": 0, "value": None, "lower": 0.0, "upper": 1.0}
    rng = rng_of(seed, "mean-of-shares")
    means = np.mean([rng.beta(right + 0.5, n - right + 0.5, draws) for right, n in present], axis=0)
    lower, upper = np.quantile(means, [(1 - level) / 2, (1 + level) / 2])
    value = float(np.mean([right / n for right, n in present]))
    return {"n": sum(n for _, n in present), "value": round(value, 4), "lower": round(float(min(lower, value)), 4),
            "upper": round(float(max(upper, value)), 4)}


def corrected_counts(
    accepted: Sequence[int], confusion: Sequence[Sequence[int]], seed: int = 0, level: float = LEVEL, draws: int = 2000,
) -> list[dict[str, float | int | None]]:
    """How many of the accepted truly belong to each cell, as an estimate with an interval.

    Args:
        accepted: number accepted as cell j. confusion: rows true cell i, columns accepted as j, counted on labelled data.

    Per column, the true cells of what was accepted follow a multinomial whose shares have a Dirichlet posterior
    (prior 0.5 / number of cells each); the value is its mean, the interval holds counts drawn from it. It assumes that
    the accepted err as the labelled data do, in the same mix of cells. A column without labelled cases is taken as right.

    Raises:
        UsageError: not a square of the size of `accepted`.
    """
    counts = np.asarray(confusion, np.float64)
    size = len(accepted)
    if counts.shape != (size, size) or (counts < 0).any():
        raise UsageError(f"confusion {list(counts.shape)}", f"does not fit {size} cells", "measure it again")
    rng = rng_of(seed, "corrected-counts")
    mean, drawn = np.zeros(size), np.zeros((draws, size))
    for j, n in enumerate(accepted):
        if counts[:, j].sum() == 0:
            mean[j] += n
            drawn[:, j] += n
            continue
        posterior = counts[:, j] + 0.5 / size
        mean += n * posterior / posterior.sum()
        drawn += rng.multinomial(n, rng.dirichlet(posterior, draws))
    lower, upper = np.quantile(drawn, [(1 - level) / 2, (1 + level) / 2], axis=0)
    return [{"n": int(accepted[i]), "value": round(float(mean[i]), 1), "lower": round(float(lower[i]), 1),
             "upper": round(float(upper[i]), 1)} for i in range(size)]
