"""The interval of one rate at its effective rows: exact binomial tails where rows stand alone, else Wilson's.

Where rows stand alone the interval holds the rates at which the count found is not extreme, half of its own
chance counted (mid-P; Lancaster, JASA 1961; Berry and Armitage, "Mid-P confidence intervals: a brief review",
The Statistician 1995). At a rate that gives no hit at all in over 2.5 % of samples a small count is never
extreme, and a large one is in 5 %; near 1 the other way round. Were it 2.5 % there too, rare hits would be
held in 97.5 % and more. `0 of n` ends where Clopper and Pearson's interval does. Rates of clusters take other
values than a binomial, and have Wilson's interval, made wider for the degrees of freedom of the effective
rows (Korn and Graubard, "Confidence intervals for proportions with small expected number of positive counts",
1998).
"""

from __future__ import annotations

import math
from functools import cache, lru_cache
from statistics import NormalDist

from scipy.special import betainc
from scipy.stats import t as student

from manifests.errors import UsageError
from manifests.proportions import LEVEL, wilson

BISECTIONS = 50


def rate_interval(rate: float, rows: float, freedom: float, level: float = LEVEL) -> tuple[float, float]:
    """The interval of a rate; NaN for NaN.

    Args:
        rate: in [0, 1].
        rows: above 0, effective, not always whole.
        freedom: degrees of freedom with which their number was estimated, inf where all rows stand alone.
        level: of the interval, in (0, 1).
    """
    if not math.isfinite(rate) or not math.isfinite(rows):
        return float("nan"), float("nan")
    if math.isinf(freedom):
        return mid_p(min(rate * rows, rows), rows, level)
    size = rows * (quantile(math.inf, level) / quantile(freedom, level)) ** 2
    return wilson(min(rate * size, size), size, level)


@cache
def quantile(freedom: float, level: float = LEVEL) -> float:
    """Student's two-sided quantile, the normal one for inf."""
    if math.isinf(freedom):
        return NormalDist().inv_cdf(0.5 + level / 2)
    return float(student.ppf(0.5 + level / 2, freedom))


@lru_cache(1 << 14)
def mid_p(hits: float, rows: float, level: float = LEVEL) -> tuple[float, float]:
    """The interval of `hits` of `rows`, which need not be whole: (lower, upper).

    Raises:
        UsageError: not 0 <= hits <= rows with rows above 0, or a level outside (0, 1).
    """
    if not 0 <= hits <= rows or rows <= 0 or not 0 < level < 1:
        raise UsageError(
            f"{hits} of {rows} at level {level}",
            "is not a share",
            "give 0 <= hits <= rows, rows above 0 and 0 < level < 1",
        )
    upper = 1 - _lower(rows - hits, rows, level)
    return _lower(hits, rows, level), upper


def _lower(hits: float, rows: float, level: float) -> float:
    """The smallest rate at which so many hits are not too many."""
    if hits <= 0:
        return 0.0
    side = (1 - level) / 2
    most = math.exp(math.log(side) / rows)  # above, hits alone come in more than `side`: none are too many
    edge = min(1 - most, most)  # below, no hit comes in more than `side`: too many are those of both sides
    if _as_many(hits, rows, edge) > 2 * side:
        return _rate_with(2 * side, hits, rows, 0.0, edge)
    if _as_many(hits, rows, edge) >= side:
        return edge
    return _rate_with(side, hits, rows, edge, most)


def _rate_with(chance: float, hits: float, rows: float, low: float, high: float) -> float:
    """The rate from `low` to `high` at which as many hits have this chance; `high` if it is beyond."""
    for _ in range(BISECTIONS):
        middle = (low + high) / 2
        low, high = (middle, high) if _as_many(hits, rows, middle) < chance else (low, middle)
    return (low + high) / 2


def _as_many(hits: float, rows: float, rate: float) -> float:
    """The chance of more hits and half of that of as many; by the incomplete beta function for any number."""
    at_least = betainc(hits, rows - hits + 1, rate) if hits > 0 else 1.0
    more = betainc(hits + 1, rows - hits, rate) if hits < rows else 0.0
    return float(at_least + more) / 2
