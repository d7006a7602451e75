"""Shares with intervals: Wilson's interval of one share, the mean of several, and counts corrected for a
verifier's errors.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from statistics import NormalDist

import numpy as np

from manifests.errors import UsageError
from manifests.seeding import rng_of

LEVEL = 0.95


def wilson(right: float, n: float, level: float = LEVEL) -> tuple[float, float]:
    """The interval of a share `right / n`: (lower, upper), (0, 1) where n is 0.

    Wilson, "Probable inference, the law of succession, and statistical inference", JASA 1927.

    Raises:
        UsageError: not 0 <= right <= n, or a level outside (0, 1).
    """
    if not 0 <= right <= n or not 0 < level < 1:
        raise UsageError(
            f"{right} of {n} at level {level}", "is not a share", "give 0 <= right <= n and 0 < level < 1"
        )
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
    return {
        "n": n,
        "value": round(right / n, 4) if n else None,
        "lower": round(lower, 4),
        "upper": round(upper, 4),
    }


def mean_of_shares(
    pairs: Sequence[tuple[int, int]],
    seed: int = 0,
    level: float = LEVEL,
    draws: int = 2000,
) -> dict[str, float | int | None]:
    """The mean of several shares `right / n` (balanced accuracy), as `share`, by a seeded parametric
    bootstrap.

    Classes without a case are left out; each share is drawn from its Jeffreys posterior, so that 0 and 1 have
    a width.
    """
    present = [(right, n) for right, n in pairs if n]
    if not present:
        return {"n": 0, "value": None, "lower": 0.0, "upper": 1.0}
    rng = rng_of(seed, "mean-of-shares")
    means = np.mean([rng.beta(right + 0.5, n - right + 0.5, draws) for right, n in present], axis=0)
    lower, upper = np.quantile(means, [(1 - level) / 2, (1 + level) / 2])
    value = float(np.mean([right / n for right, n in present]))
    return {
        "n": sum(n for _, n in present),
        "value": round(value, 4),
        "lower": round(float(min(lower, value)), 4),
        "upper": round(float(max(upper, value)), 4),
    }


def corrected_counts(
    seen: Sequence[Sequence[int]],
    kept: Sequence[int],
    confusion: Sequence[Sequence[int]],
    seed: int = 0,
    level: float = LEVEL,
    draws: int = 300,
) -> list[dict[str, float | int | None]]:
    """How many of the faces kept truly belong to each cell, as an estimate with an interval.

    Args:
        seen: row j: of the candidates drawn for cell j, how many the verifier was sure are of cell k.
        kept: of the candidates drawn for and seen as cell j, how many were kept.
        confusion: rows true cell i, columns accepted as k, counted on labelled data that did not choose the
            verifier.

    For each j the mix of true cells among its candidates is the one that makes `seen[j]` likeliest under P(k
    | i), the confusion with rows summing to 1: the inverted confusion matrix, kept from negative shares
    (Forman, "Quantifying counts and costs via classification", DMKD 2008; the iteration is that of Saerens et
    al., Neural Computation 2002). It assumes that a true cell is mistaken as on the labelled data, and
    nothing about the mix. The interval draws P (Dirichlet posterior, prior 0.5 / cells each), `seen` and the
    kept (multinomial).

    Raises:
        UsageError: sizes that do not fit, or negative counts.
    """
    rates, given, size = np.asarray(confusion, np.float64), np.asarray(seen, np.float64), len(kept)
    if (
        rates.shape != (size, size)
        or given.shape != (size, size)
        or min(rates.min(), given.min(), min(kept)) < 0
    ):
        raise UsageError(f"confusion {list(rates.shape)}", f"does not fit {size} cells", "measure it again")
    rng, prior = rng_of(seed, "corrected-counts"), 0.5 / size
    posterior = rates + prior
    value, drawn = np.zeros(size), np.zeros((draws, size))
    chances = np.stack([rng.dirichlet(row, draws) for row in posterior], axis=1)
    for j, count in enumerate(kept):
        total = int(given[j].sum())
        if not count or not total:
            value[j] += count
            drawn[:, j] += count
            continue
        value += (
            count * _true_shares(given[j][None], (posterior / posterior.sum(1, keepdims=True))[None], j)[0]
        )
        again = rng.multinomial(total, given[j] / total, draws).astype(np.float64)
        drawn += [rng.multinomial(count, share / share.sum()) for share in _true_shares(again, chances, j)]
    lower, upper = np.quantile(drawn, [(1 - level) / 2, (1 + level) / 2], axis=0)
    return [
        {
            "n": int(kept[i]),
            "value": round(float(value[i]), 1),
            "lower": round(float(min(lower[i], value[i])), 1),
            "upper": round(float(max(upper[i], value[i])), 1),
        }
        for i in range(size)
    ]


def _true_shares(seen: np.ndarray, chances: np.ndarray, column: int, steps: int = 100) -> np.ndarray:
    """Shares of the true cells among what was seen as `column`: float64 [D, C]. seen [D, C], chances [D or 1,
    C, C].
    """
    mix = np.full(seen.shape, 1 / seen.shape[1])
    for _ in range(steps):
        expected = np.einsum("di,dik->dk", mix, chances)
        mix = mix * np.einsum("dk,dik->di", seen / np.maximum(expected, 1e-300), chances)
        mix /= mix.sum(1, keepdims=True)
    shares: np.ndarray = mix * chances[:, :, column]
    return np.asarray(shares / shares.sum(1, keepdims=True))
