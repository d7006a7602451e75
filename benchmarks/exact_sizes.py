"""Which sizes a test of a gap can have at all: `python -m benchmarks.exact_sizes`, exact, in seconds.

The gap of two groups of n rows takes n + 1 values, and a test that rejects for large gaps rejects from one of
them on: its size is one of n + 1 numbers, the chances of a gap as large as each. Where about one alarm is
expected in a group they are far apart. A test that knew the true rate could choose among them; one that does
not, and keeps its size whatever number of alarms there is, as permutation tests do, has fewer still. Prints,
for each setting of `benchmarks.coverage` with two equal groups, the reachable sizes on both sides of .05, of
F_FPR, F_DP and of the comparison of two like detectors' F_FPR; and for rows alone the size of the permutation
test of F_FPR with half of the ties, of the same with ties counted at random (that of reports: .05 times the
chance of an alarm), and the largest that a permutation test can have which rejects in at most one of ten
experiments for any number of alarms (both do).
"""

from __future__ import annotations

import itertools
import json
from typing import Any

import numpy as np
from scipy.stats import binom, hypergeom, norm

from benchmarks.coverage import ALIKE, CLUSTERS, FOUND, RATES, ROWS, SIZE
from detector.metrics.replicates import Floats
from detector.metrics.ties import MID

NODES = 60
TIE = 1e-12


def alarms(rows: int, rate: float, cluster: int = 1) -> Floats:
    """Chances of 0, 1, ... rows called fake in a group: float64 [rows + 1]. cluster: rows that are alike, as
    `coverage.latent`.
    """
    if cluster == 1:
        return np.asarray(binom.pmf(np.arange(rows + 1), rows, rate))
    at, weight = np.polynomial.hermite_e.hermegauss(NODES)
    own = norm.cdf((norm.ppf(rate) + np.sqrt(ALIKE) * at) / np.sqrt(1 - ALIKE))
    one = binom.pmf(np.arange(cluster + 1)[:, None], cluster, own) @ (weight / weight.sum())
    out = np.ones(1)
    for _ in range(rows // cluster):
        out = np.convolve(out, one)
    return out


def gaps(chances: Floats) -> Floats:
    """Chances of gaps of 0, 1, ... rows between two groups with these chances of alarms: float64 [n + 1]."""
    far = np.correlate(chances, chances, "full")[len(chances) - 1 :]
    return np.r_[far[0], 2 * far[1:]]


def reachable(*measures: Floats, chances: Floats) -> Floats:
    """Sizes of all tests that reject for large values, in falling order.

    Args:
        measures: what is compared, each finer one where those before are equal. chances: of each outcome;
            same shape.
    """
    order = np.lexsort(tuple(np.round(measure, 12).ravel() for measure in reversed(measures)))[::-1]
    flat = [np.round(measure, 12).ravel()[order] for measure in measures]
    last = np.r_[np.any([np.diff(values) != 0 for values in flat], axis=0), True]
    return np.asarray(np.cumsum(chances.ravel()[order])[last][::-1])


def compared(rows: int, rate: float, cluster: int) -> Floats:
    """`reachable` of the difference of the gaps of two detectors with this rate, and that of variances where
    they tie.
    """
    one, gap = gaps(alarms(rows, rate, cluster)), np.arange(rows + 1.0)
    return reachable(
        np.abs(gap[:, None] - gap), np.abs(gap[:, None] ** 2 - gap**2) / rows, chances=one[:, None] * one
    )


def permutation_size(rows: int, rate: float, ties: float | None = 0.5) -> float:
    """Size of the permutation test of two groups of rows that stand alone, with all permutations.

    ties: the share of a tie that counts; None: one drawn anew in each experiment in which a gap is found,
    uniform in [0, 1), and half where none is.
    """
    out = 0.0
    for total in range(2 * rows + 1):
        first = np.arange(max(0, total - rows), min(rows, total) + 1)
        chances = hypergeom.pmf(first, 2 * rows, total, rows)
        gap = np.abs(2 * first - total)
        above = np.array([chances[gap > one].sum() for one in gap])
        equal = np.array([chances[gap == one].sum() for one in gap])
        small = above + (MID if ties is None else ties) * equal <= SIZE + TIE
        if ties is None:
            small = np.where(gap > 0, np.clip((SIZE - above) / equal, 0, 1), small)
        out += float(binom.pmf(total, 2 * rows, rate) * (chances * small).sum())
    return out


def most_permuted(rows: int, rate: float, limit: float = 0.1) -> float:
    """The largest size of tests that reject for large gaps, with a size of at most `limit` given any number
    of alarms.
    """
    out = 0.0
    for total in range(2 * rows + 1):
        first = np.arange(max(0, total - rows), min(rows, total) + 1)
        sizes = reachable(np.abs(2 * first - total), chances=hypergeom.pmf(first, 2 * rows, total, rows))
        out += float(binom.pmf(total, 2 * rows, rate) * sizes[sizes <= limit + TIE].max(initial=0.0))
    return out


def around(sizes: Floats) -> dict[str, Any]:
    """The reachable sizes next to .05, and whether one of them is between .03 and .07."""
    below, above = sizes[sizes <= SIZE].max(initial=0.0), sizes[sizes > SIZE].min(initial=1.0)
    return {
        "below": round(float(below), 4),
        "above": round(float(above), 4),
        "within": bool(below >= 0.03 or above <= 0.07),
    }


def main() -> None:
    """Print every setting."""
    for rows, cluster, name in itertools.product(ROWS, CLUSTERS, ("equal", "rare")):
        rate = float(RATES[name](2)[0])
        real, fake = alarms(rows, rate, cluster), alarms(rows, FOUND, cluster)
        row: dict[str, Any] = {"rows": rows, "cluster": cluster, "rates": name}
        for what, chances in (("F_FPR", gaps(real)), ("F_DP", gaps(np.convolve(real, fake)))):
            row[what] = around(reachable(np.arange(len(chances)), chances=chances))
        row["compare F_FPR"] = around(compared(rows, rate, cluster))
        if cluster == 1:
            row["permutation"] = {
                "ties half": round(permutation_size(rows, rate), 4),
                "ties at random": round(permutation_size(rows, rate, None), 4),
                "at most": round(most_permuted(rows, rate), 4),
            }
        print(json.dumps(row))


if __name__ == "__main__":
    main()
