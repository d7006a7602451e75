"""Rates of data sets drawn again and again: binomial, from normal noise that all candidates share.

The quantile at a noise is that of Cornish and Fisher where many rows are called fake. Where few are, its
chances of 0, 1, 2 alarms are off by one in a hundred, and a test that counts ties needs them as they are:
there it is moved to the exact quantile, which the incomplete beta function gives for any number of rows,
whole or not.
"""

from __future__ import annotations

import numpy as np
from scipy.special import betainc, ndtri

from detector.metrics.replicates import Floats

FEW = 8.0
"""Below so many rows expected (of either kind) quantiles are exact."""
COUNTS = 28
"""Counts with a chance worth naming there: at 8 expected, more than 27 come once in 100 million draws."""
STEPS = 2
"""How far the approximate quantile may be from the exact one."""


def drawn(rates: Floats, rows: Floats, noise: Floats) -> Floats:
    """Rates of data sets: binomial quantiles at standard normal `noise` [..., R]; float64 [..., R].

    One noise serves all candidates, so that what is drawn moves with the candidate.

    Args:
        rates: float64 [...], in [0, 1]; at 0 and 1 every draw is the rate itself.
        rows: float64 [...], above 0, not always whole.
        noise: float64 [..., R].
    """
    shape = np.broadcast_shapes(rates.shape, rows.shape)
    rate, size = np.broadcast_to(rates, shape), np.broadcast_to(rows, shape)
    hits = _approximate(rate[..., None], size[..., None], noise)
    few = (size * np.minimum(rate, 1 - rate) < FEW) & (rate > 0) & (rate < 1)
    if few.any():
        near = np.broadcast_to(noise, hits.shape)[few]
        hits[few] = _exact(rate[few], size[few], near, hits[few])
    rate, size = rate[..., None], size[..., None]
    return np.where((rate <= 0) | (rate >= 1), rate, np.clip(hits / size, 0, 1))


def _approximate(rates: Floats, rows: Floats, noise: Floats) -> Floats:
    """Hits by the quantile of Cornish and Fisher, which may lie a little outside of [0, rows]."""
    spread, skew = np.sqrt(rows * rates * (1 - rates)), (1 - 2 * rates) / 6
    with np.errstate(divide="ignore", invalid="ignore"):
        turn = -spread / (
            2 * skew
        )  # the quantile is a parabola in the noise: beyond its vertex it turns back
    z = np.clip(noise, np.where(skew > 0, turn, -np.inf), np.where(skew < 0, turn, np.inf))
    return np.asarray(np.rint((skew * z + spread) * z + (rows * rates - skew)))


def _exact(rates: Floats, rows: Floats, noise: Floats, hits: Floats) -> Floats:
    """The exact quantiles next to approximate ones: [M] rates and rows, [M, R] noise and hits."""
    turned = (rates > 0.5)[:, None]  # what is rare is counted: hits, or rows that are none
    rare, size = np.where(turned[:, 0], 1 - rates, rates)[:, None], rows[:, None]
    counts = np.arange(COUNTS)
    at_most = np.where(counts < size, betainc(np.maximum(size - counts, 1e-9), counts + 1, 1 - rare), 1.0)
    limits = np.concatenate([np.full((len(rates), 1), -np.inf), ndtri(at_most)], 1).ravel()
    first = np.arange(len(rates))[:, None] * (COUNTS + 1)
    z = np.where(turned, -noise, noise)
    found = np.clip(np.rint(np.where(turned, size - hits, hits)), 0, COUNTS - 1).astype(np.int64)
    for _ in range(STEPS):
        place = first + found
        found = np.clip(found + (z > limits[place + 1]) - (z <= limits[place]), 0, COUNTS - 1)
    rare_hits = np.minimum(found, size)
    return np.where(turned, size - rare_hits, rare_hits)
