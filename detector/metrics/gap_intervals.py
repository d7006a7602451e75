"""95 % intervals of gaps between groups by inverting a test, and estimates without the upward bias of max -
min.

A gap of estimated rates lies above the gap of the true ones, the more so the more groups there are, and a gap
of resampled rates lies higher still. Here each candidate gap is tested instead: the groups get the likeliest
rates that have exactly that gap, data sets are drawn there (binomial, at the effective numbers of rows, and
wider where these are estimated from few clusters), and the candidate belongs to the interval if the gap found
is not extreme among the gaps drawn. At a gap of 0 only a large one is extreme, so that one in twenty fair
experiments has an interval without 0; far from 0 both sides are. At 0 the permutation test stands in for the
draws where there is one: it needs no rate to draw at, and the interval leaves out 0 if and only if that test
rejects. The estimate is the candidate with half of its draws below the gap found (median-unbiased), 0 where
chance alone gives as much. How ties count is said in `ties`.

Figures are [F, G, ...]: F rates in G groups, then any axes of experiments, so that a simulation inverts a
thousand at once.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from scipy.special import ndtri

from detector.metrics.binomial import drawn
from detector.metrics.replicates import TIE, Floats
from detector.metrics.ties import MID, Tail
from manifests.proportions import LEVEL

Bools = npt.NDArray[np.bool_]
Gap = Callable[[Floats], Floats]
"""Figures [F, G, ...] to a gap [...]; 0 where all groups are equal."""
CANDIDATES = np.concatenate([[0.0], np.linspace(0.08, 1, 12)])
"""Gaps tried, as shares of the largest one."""
REACH = 4.0
"""The largest candidate lies this many standard errors of a difference above the gap found."""
BISECTIONS = 20


class GapInterval(NamedTuple):
    """Ends of the interval, the median-unbiased estimate, and the spread of the gap where it was found;
    float64 [...].
    """

    low: Floats
    high: Floats
    estimate: Floats
    error: Floats


def with_width(values: Floats, weight: Floats, width: Floats) -> Floats:
    """The likeliest rates whose max - min is `width`, where `values` were found: float64 [G, ...] in [0, 1].

    Too wide a set is cut off at both ends; of too narrow a one the lowest and the highest move apart. The
    floor is where the binomial likelihood is highest (for two groups: Mee, Biometrics 1984; Miettinen and
    Nurminen, Statistics in Medicine 1985): a rate near 0 or 1, whose error is small, moves less than one near
    a half. So the rates drawn at do not depend on how large a gap chance gave, to first order.

    Args:
        values: float64 [G, ...] in [0, 1], two groups or more.
        weight: float64 [G, ...], above 0, effective numbers of rows.
        width: float64 [...] in [0, 1].
    """
    place = np.arange(len(values)).reshape(-1, *[1] * (values.ndim - 1))
    at_low = np.lexsort((weight, values), axis=0)[:1]  # of equal values the one that is easiest to move
    at_high = np.lexsort((weight, np.where(place == at_low, np.inf, -values)), axis=0)[:1]
    low, high = (np.take_along_axis(values, at, 0)[0] for at in (at_low, at_high))
    narrow = width >= high - low
    start, end = (np.clip(of(low, high - width), 0, 1 - width) for of in (np.minimum, np.maximum))
    for _ in range(BISECTIONS):
        floor = (start + end) / 2
        above, below = floor - values, values - floor - width
        lifted = (weight * np.where(place == at_low, above, np.maximum(above, 0))).sum(0)
        pressed = (weight * np.where(place == at_high, below, np.maximum(below, 0))).sum(0)
        rises = lifted * _variance(floor + width) < pressed * _variance(floor)
        start, end = np.where(rises, floor, start), np.where(rises, end, floor)
    floor = (start + end) / 2
    out = np.clip(values, floor, floor + width)
    out = np.where(narrow & (place == at_low), floor, out)
    return np.where(narrow & (place == at_high), floor + width, out)


def _variance(rate: Floats) -> Floats:
    """Of one row with this rate; never quite 0."""
    return np.maximum(rate * (1 - rate), TIE)


def settled(values: Floats, rows: Floats, known: Bools) -> Floats:
    """The rates with all groups but one as far apart as they truly are: float64 [F, G, ...].

    Data drawn at rates as they were found have their chance twice: of many groups that are alike, the lowest
    would lie too low. So all but the highest, or all but the lowest if those are more alike, move towards
    their mean until their variance is what chance leaves of it (Louis, "Estimating a population of parameter
    values using Bayes and empirical Bayes methods", JASA 1984): of Cochran's Q, its degrees of freedom are
    chance. Where Q is no larger they all get their mean. Of two groups, both stay.

    Args:
        values: float64 [F, G, ...], rates in [0, 1].
        rows: float64 [F, G, ...], above 0, effective numbers of rows.
        known: bool [F, G], which of them count; the others stay as they are.
    """
    out = values.copy()
    for f, mine in enumerate(known):
        rate, size = values[f, mine], rows[f, mine]
        alike = int(mine.sum()) - 1
        if alike < 2:
            continue
        place = np.arange(len(rate)).reshape(-1, *[1] * (rate.ndim - 1))
        rest = [place != rate.argmax(0), place != rate.argmin(0)]
        (mean, scatter), (mean_above, scatter_above) = (_scatter(rate, size * part) for part in rest)
        lower = scatter <= scatter_above
        chance = (alike - 1) / np.maximum(np.where(lower, scatter, scatter_above), TIE)
        middle = np.where(lower, mean, mean_above)
        nearer = middle + np.sqrt(np.maximum(1 - chance, 0)) * (rate - middle)
        out[f, mine] = np.where(np.where(lower, *rest), nearer, rate)
    return out


def _scatter(rate: Floats, weight: Floats) -> tuple[Floats, Floats]:
    """Mean of the groups with a weight, and Cochran's Q of them: [G, ...] to [...] each."""
    total = weight.sum(0)
    mean = (weight * rate).sum(0) / total
    soft = np.clip(mean, 0.5 / total, 1 - 0.5 / total)
    return mean, (weight * (rate - mean) ** 2).sum(0) / (soft * (1 - soft))


def _narrowed(values: Floats, rows: Floats, known: Bools, found: Floats, candidates: Floats) -> Floats:
    """Figures of the candidates, each rate's max - min in the proportion it has: float64 [F, G, K, ...]."""
    out = np.repeat(values[:, :, None], len(candidates), 2)
    for f, mine in enumerate(known):
        if mine.sum() < 2:
            continue
        part, weight = (np.broadcast_to(a[f, mine][:, None], out[f, mine].shape) for a in (values, rows))
        share = np.where(found > 0, np.ptp(values[f, mine], axis=0) / np.where(found > 0, found, 1), 1.0)
        out[f, mine] = with_width(part, weight, np.minimum(candidates * share, 1))
    return out


def _scaled(values: Floats, rows: Floats, known: Bools, found: Floats, candidates: Floats) -> Floats:
    """Figures of the candidates, distances from the pooled rate in the proportion they have: float64 [F, G,
    K, ...].
    """
    weight = rows * known.reshape(*known.shape, *[1] * (rows.ndim - 2))
    pooled = (weight * values).sum(1, keepdims=True) / np.maximum(weight.sum(1, keepdims=True), TIE)
    sides = np.where(np.arange(values.shape[1]) % 2, 1.0, -1.0).reshape(-1, *[1] * found.ndim)
    off = np.where(found > 0, (values - pooled) / np.where(found > 0, found, 1), sides)
    return np.clip(pooled[:, :, None] + candidates * off[:, :, None], 0, 1)


def _uncertain(freedom: Sequence[float] | None, shape: tuple[int, ...], rng: np.random.Generator) -> Floats:
    """What makes normal noise [F, G, ..., R] Student's, the same for all groups of a draw: float64 [F, 1,
    ..., R].

    How alike the rows of a cluster are is estimated from few clusters, and by one number for all groups.
    """
    out = np.ones((shape[0], 1, *shape[2:]))
    for factor, free in zip(out, freedom or [np.inf] * len(out), strict=True):
        if np.isfinite(free):
            factor[:] = np.sqrt(free / rng.chisquare(free, factor.shape))
    return out


class Candidates(NamedTuple):
    """Candidate gaps and how the gap found lies among the gaps drawn at each; experiments are [...].

    true: float64 [K, ...], the candidates, rising from 0. less, at_most: float64 [K, ...], shares of the
    draws below the gap found, and not above it. chance: float64 [...], what 95 % of gaps are below where
    groups are equal. error: float64 [...], the spread of gaps drawn at the rates found. replicates: draws per
    candidate.
    """

    true: Floats
    less: Floats
    at_most: Floats
    chance: Floats
    error: Floats
    replicates: int


def at_candidates(
    values: Floats,
    rows: Floats,
    known: Bools,
    gap: Gap,
    replicates: int,
    rng: np.random.Generator,
    *,
    spread: bool = False,
    together: float = 0.0,
    freedom: Sequence[float] | None = None,
    level: float = LEVEL,
) -> Candidates:
    """Draws at every candidate. The arguments are those of `invert`."""
    found = gap(values)
    soft = (values * rows + 0.5) / (rows + 1)
    error = np.sqrt(2 * soft * (1 - soft) / rows)[known].max(0)
    candidates = CANDIDATES.reshape(-1, *[1] * found.ndim) * np.minimum(found + REACH * error, 1)
    if spread:
        figures = _scaled(values, rows, known, found, candidates)
    else:
        calm = settled(values, rows, known)
        figures = _narrowed(calm, rows, known, gap(calm), candidates)
    true = np.maximum.accumulate(gap(figures), axis=0)
    noise = rng.standard_normal((*values.shape, replicates))
    if together:
        noise[1] = together * noise[0] + np.sqrt(1 - together**2) * noise[1]
    wider = noise * _uncertain(freedom, noise.shape, rng)
    gaps = gap(drawn(figures, rows[:, :, None], wider[:, :, None])) - found[..., None]
    chance = np.maximum(np.quantile(gaps[0], level, axis=-1) + found, TIE)
    spread_there = gap(drawn(values, rows, noise)).std(-1)
    return Candidates(true, (gaps < -TIE).mean(-1), (gaps <= TIE).mean(-1), chance, spread_there, replicates)


def ends(
    made: Candidates, ties: float | Floats = MID, equal: Tail | None = None, level: float = LEVEL
) -> GapInterval:
    """The candidates that are not rejected, and the estimate.

    Args:
        made: how the gap found lies among the draws.
        ties: the share of ties that counts as a gap as large as the one found, in [0, 1], for every candidate
            alike; float64 [...]. The estimate counts half of them.
        equal: of a test of the hypothesis that all groups are equal, which takes the place of draws at a gap
            of 0.
        level: of the interval.
    """
    below = (1 - level) / 2 * np.minimum(made.true / made.chance, 1)

    def crossed(share_of_ties: float | Floats, *at: Floats) -> list[Floats]:
        share = made.less + (1 - share_of_ties) * (made.at_most - made.less)
        if equal is not None:
            share[0] = 1 - equal.p(share_of_ties)
        scale = _probit(np.minimum.accumulate(share, axis=0), made.replicates)
        return [_crossing(made.true, scale - _probit(one, made.replicates)) for one in at]

    low, high = crossed(ties, level + below, below)
    (middle,) = crossed(MID, np.full_like(below, 0.5))
    return GapInterval(low, high, middle, made.error)


def invert(
    values: Floats,
    rows: Floats,
    known: Bools,
    gap: Gap,
    replicates: int,
    rng: np.random.Generator,
    *,
    spread: bool = False,
    together: float = 0.0,
    ties: float | Floats = MID,
    freedom: Sequence[float] | None = None,
    equal: Tail | None = None,
    level: float = LEVEL,
) -> GapInterval:
    """The interval and the estimate of a gap.

    Args:
        values: float64 [F, G, ...], rates in [0, 1].
        rows: float64 [F, G, ...], above 0, the effective number of rows behind each rate.
        known: bool [F, G], which of them the gap looks at; the others may have any value.
        gap: figures to the gap.
        replicates: data sets drawn per candidate, 1 or more.
        spread: the gap is a mean distance from the pooled rate and not a max - min.
        together: correlation of the errors of the first two rates of a group.
        freedom: of each figure the degrees of freedom with which its effective numbers of rows were
            estimated, inf where rows stand alone; all inf unless given.
        ties: as `ends`.
        equal: as `ends`.
        level: as `ends`.
    """
    made = at_candidates(
        values,
        rows,
        known,
        gap,
        replicates,
        rng,
        spread=spread,
        together=together,
        freedom=freedom,
        level=level,
    )
    return ends(made, ties, equal, level)


def _probit(share: Floats, replicates: int) -> Floats:
    """Shares of draws on the normal scale, on which they are nearly straight between candidates; 0 and 1 as
    half a draw.
    """
    end = 0.5 / (replicates + 1)
    return np.asarray(ndtri(np.clip(share, end, 1 - end)))


def _crossing(at: Floats, value: Floats) -> Floats:
    """Where `value` [K, ...] falls to 0 along `at` [K, ...], linear in between; the end of `at` that it does
    not cross.
    """
    above = value > 0
    last = np.where(above.any(0), len(at) - 1 - np.argmax(above[::-1], axis=0), -1)[None]
    left, right = np.maximum(last, 0), np.minimum(last + 1, len(at) - 1)
    (v0, v1), (x0, x1) = ([np.take_along_axis(a, k, 0)[0] for k in (left, right)] for a in (value, at))
    share = np.where(v0 > v1, v0 / np.where(v0 > v1, v0 - v1, 1), 0.0)
    return np.where(last[0] < 0, at[0], x0 + np.clip(share, 0, 1) * (x1 - x0))


def most(figures: Floats) -> Floats:
    """Max - min over the groups of one figure: [G, ...] to [...]."""
    return np.asarray(figures.max(0) - figures.min(0))
