"""How often intervals hold the truth, and tests reject what is true: `python -m benchmarks.coverage
[--simulations 1000]`.

A grid of test sets: 2 to 14 groups, 20 to 500 rows of each class in a group, rows alone or four to a cluster,
false-positive rates equal, one group apart, spread evenly, or rare. Per cell, one JSON line: coverage and
width of the 95 % intervals of F_FPR and of a group's FPR, power or size of "the interval leaves out 0", size
of the permutation test of F_FPR and F_DP and of the comparison of two detectors' F_FPR, also with ties
counted at random; coverage of the bootstrap of rows on the same data (`--bootstrap`), also by fairlearn
itself (`--fairlearn` simulations). Experiments are inverted together. AUCs have a grid of their own. What it
prints is a page by `benchmarks.coverage_table`; which sizes a test can have at all: `benchmarks.exact_sizes`.
"""

from __future__ import annotations

import argparse
import itertools
import json
import multiprocessing
import time
from collections.abc import Sequence
from functools import partial
from typing import Any, NamedTuple

import numpy as np
from scipy.stats import norm

from detector.metrics.auc_error import auc_error
from detector.metrics.comparison import exchange
from detector.metrics.effective_rows import Rates, group_rates
from detector.metrics.gap_intervals import GapInterval, at_candidates, ends, most
from detector.metrics.rate_intervals import rate_interval
from detector.metrics.replicates import TIE, Floats, Ints, dealt_by_kind
from detector.metrics.ties import CHOICES, MID, tail, where_drawn

RATES = {
    "equal": lambda n: np.full(n, 0.15),
    "rare": lambda n: np.full(n, 0.03),
    "apart": lambda n: np.r_[np.full(n - 1, 0.1), 0.3],
    "spread": lambda n: np.linspace(0.1, 0.3, n),
    "rare apart": lambda n: np.r_[np.full(n - 1, 0.02), 0.1],
}
GROUPS, ROWS, CLUSTERS = (2, 4, 8, 14), (20, 60, 200, 500), (1, 4)
ALIKE = 0.6
"""Correlation of the latent scores of one cluster's rows."""
FOUND = 0.85
"""Share of the fakes that are found."""
TESTS, SIZE = ("F_FPR", "F_DP", "compare F_FPR"), 0.05
ELEMENTS = 120_000
"""Numbers drawn at once: what a core's cache holds."""


class Cell(NamedTuple):
    """One setting: groups, rows of each class in a group, rows of a cluster, and the name of its rates."""

    groups: int
    rows: int
    cluster: int
    rates: str


def grid(
    groups: Sequence[int] = GROUPS,
    rows: Sequence[int] = ROWS,
    clusters: Sequence[int] = CLUSTERS,
    rates: Sequence[str] = (*RATES,),
) -> list[Cell]:
    """All settings of these values."""
    return [Cell(*parts) for parts in itertools.product(groups, rows, clusters, rates)]


def latent(shape: tuple[int, ...], cluster: int, rng: np.random.Generator) -> Floats:
    """Standard normal [G, clusters, rows of one, S], alike within a cluster where it has several rows."""
    own = rng.standard_normal(shape)
    if cluster == 1:
        return own
    return np.sqrt(ALIKE) * rng.standard_normal((*shape[:2], 1, shape[3])) + np.sqrt(1 - ALIKE) * own


def experiments(cell: Cell, rate: Floats, n: int, rng: np.random.Generator) -> tuple[Floats, Floats, Ints]:
    """Rows and hits of each cluster in `n` experiments, float64 [P, S] each, and the cluster's group [P]."""
    shape = (cell.groups, cell.rows // cell.cluster, cell.cluster, n)
    called = latent(shape, cell.cluster, rng) + norm.ppf(rate)[:, None, None, None] > 0
    hits = called.sum(2).reshape(-1, n).astype(np.float64)
    return np.full(hits.shape, float(cell.cluster)), hits, np.repeat(np.arange(cell.groups), shape[1])


def measure(
    cell: Cell, simulations: int, replicates: int, tests: int, fairlearn: int, seed: int = 0
) -> dict[str, Any]:
    """One cell's figures. tests: experiments for permutation and exchange tests; fairlearn: for its
    bootstrap.
    """
    rng = np.random.default_rng([seed, *cell[:3], list(RATES).index(cell.rates)])
    rate = RATES[cell.rates](cell.groups)
    true, held = float(np.ptp(rate)), []
    m, x, group = experiments(cell, rate, simulations, rng)
    rates = group_rates(np.stack([m, m]), np.stack([x, x]), group, cell.groups)
    by_ties = intervals(cell, rates, x, group, replicates, rng)
    for g, s in itertools.product((0, cell.groups - 1), range(simulations)):
        a, b = rate_interval(float(rates.rate[0, g, s]), float(rates.rows[0, g, s]), rates.freedom[0])
        held.append(a <= rate[g] <= b)  # first the first group's, then the last's
    hold = {ties: (got.low <= true + 1e-9) & (true <= got.high + 1e-9) for ties, got in by_ties.items()}
    of_ties = {
        ties: {
            "coverage": round(float(np.mean(hold[ties])), 4),
            "width": round(float(np.mean(got.high - got.low)), 4),
            "without 0": round(float(np.mean(got.low > 0)), 4),
        }
        for ties, got in by_ties.items()
    }
    out: dict[str, Any] = {
        **cell._asdict(),
        "gap": round(true, 3),
        "simulations": simulations,
        **of_ties["mid"],
        "random": of_ties["random"],
        "found": float(most(rates.rate[0]).mean()),
        "corrected": float(by_ties["mid"].estimate.mean()),
        "rate coverage": float(np.mean(held)),
        "of first and last": np.mean(np.reshape(held, (2, -1)), 1).round(4).tolist(),
    }
    if tests:
        out |= {"experiments": tests, **sizes_of_tests(cell, rate, tests, rng)}
    if fairlearn:
        got = by_ties["mid"]
        out["fairlearn"] = {
            **fairlearn_coverage(x[:, :fairlearn], cell, group, true),
            "ours": float(np.mean(hold["mid"][:fairlearn])),
            "our width": round(float(np.mean((got.high - got.low)[:fairlearn])), 4),
        }
    return {name: round(v, 4) if isinstance(v, float) else v for name, v in out.items()}


def intervals(
    cell: Cell, rates: Rates, hits: Floats, group: Ints, replicates: int, rng: np.random.Generator
) -> dict[str, GapInterval]:
    """Intervals of F_FPR of all experiments [S], by how ties count; with both from the same draws.

    Reports draw the share of ties out of the data and the seed (`metrics.ties`), this out of `rng`.
    """
    n, known, parts = hits.shape[1], np.ones((1, cell.groups), bool), []
    shares = rng.random(n)
    at_once = max(1, ELEMENTS // (cell.groups * replicates * 13))
    for start in range(0, n, at_once):
        part = slice(start, start + at_once)
        equal = tail(*permuted_gaps(cell, hits[:, part], group, replicates, rng))
        values, rows = rates.rate[:1, :, part], rates.rows[:1, :, part]
        free = rates.freedom[:1]
        made = at_candidates(values, rows, known, lambda v: most(v[0]), replicates, rng, freedom=free)
        drawn = np.where(where_drawn(most(values[0])), shares[part], MID)
        parts.append([ends(made, ties, equal) for ties in (MID, drawn)])
    return {
        ties: GapInterval(*(np.concatenate(values) for values in zip(*got, strict=True)))
        for ties, got in zip(CHOICES, zip(*parts, strict=True), strict=True)
    }


def permuted_gaps(
    cell: Cell, hits: Floats, group: Ints, replicates: int, rng: np.random.Generator
) -> tuple[Floats, Floats, Floats, Floats]:
    """Gaps of F_FPR and variances between groups, as the arguments of `tail`: found [S], and drawn [S, R].

    hits: float64 [P, S], rows called fake of each cluster. group: int64 [P].
    """
    return gaps_and_variances(
        by_group(hits, group, cell.groups).T / cell.rows,
        permuted(cell, hits, group, replicates, rng) / cell.rows,
    )


def gaps_and_variances(found: Floats, drawn: Floats) -> tuple[Floats, Floats, Floats, Floats]:
    """Of rates [..., G] found and drawn: gaps and variances as the arguments of `tail`."""
    return np.ptp(found, -1), np.ptp(drawn, -1), np.var(found, -1), np.var(drawn, -1)


def by_group(values: Floats, group: Ints, groups: int) -> Floats:
    """Sums over the clusters of each group: [P, S] to [G, S]."""
    return np.stack([values[group == g].sum(0) for g in range(groups)])


def permuted(cell: Cell, hits: Floats, group: Ints, replicates: int, rng: np.random.Generator) -> Floats:
    """Rows called fake of each group after dealing the clusters out anew: float64 [S, R, G]."""
    counts = np.arange(cell.cluster, -1, -1)
    kinds = np.stack([0 * counts, 0 * counts, counts, 0 * counts], 1).astype(float)
    many = np.stack([(hits == count).sum(0) for count in counts], -1)
    seats = np.bincount(group, minlength=cell.groups)
    return dealt_by_kind(kinds, many, seats, replicates, rng)[..., 2]


def sizes_of_tests(
    cell: Cell,
    rate: Floats,
    n: int,
    rng: np.random.Generator,
    replicates: int = 199,
) -> dict[str, dict[str, float]]:
    """Shares of p at most .05: permutation of F_FPR and F_DP (fakes are found at .85), exchange of two like
    detectors. Of the experiments with anything to test: where nobody is called fake, all draws have a gap of
    0, as was found.

    Of `tests`, that count a tie half, and of `randomised`, that count a share of it drawn for each
    experiment in which a gap is found: those have a size of exactly .05 in the experiments that can have a
    gap, if the draws are those of the null, however few values it can take.
    """
    _, x, group = experiments(cell, rate, n, rng)
    _, hits, _ = experiments(cell, np.full(cell.groups, FOUND), n, rng)
    other = experiments(cell, rate, n, rng)[1]
    shares = np.random.default_rng([n, *cell[:3], list(RATES).index(cell.rates)]).random((n, len(TESTS)))
    small, made = np.zeros((2, len(TESTS))), np.zeros(len(TESTS))
    at_once = max(1, ELEMENTS // (cell.groups * replicates))
    for start in range(0, n, at_once):
        part = slice(start, start + at_once)
        real, fake = (by_group(values[:, part], group, cell.groups).T / cell.rows for values in (x, hits))
        drawn = [permuted(cell, values[:, part], group, replicates, rng) / cell.rows for values in (x, hits)]
        compared = [
            gaps_and_variances(real, drawn[0]),
            gaps_and_variances((real + fake) / 2, (drawn[0] + drawn[1]) / 2),
            exchanged_gaps(cell, x[:, part], other[:, part], group, replicates, rng),
        ]
        for k, what in enumerate(compared):
            found = tail(*what)
            drawn_share = np.where(where_drawn(what[0]), shares[part, k], MID)
            made[k] += (where_drawn(what[0]) | (found.with_all - found.without < 1 - TIE)).sum()
            small[:, k] += [(found.p(ties) <= SIZE).sum() for ties in (MID, drawn_share)]
    small /= np.maximum(made, 1)
    halves, random = (dict(zip(TESTS, line, strict=True)) for line in small.round(4).tolist())
    return {"tests": halves, "randomised": random}


def exchanged_gaps(
    cell: Cell, first: Floats, second: Floats, group: Ints, replicates: int, rng: np.random.Generator
) -> tuple[Floats, Floats, Floats, Floats]:
    """Differences of two detectors' F_FPR and of their variances, as the arguments of `tail`, found [S] and
    after exchanges [S, R]. first, second: float64 [P, S], rows called fake of each cluster.
    """
    places, made = np.arange(len(group)), []
    for pair in zip(first.T, second.T, strict=True):
        sums = [np.zeros((len(group), cell.groups)) for _ in pair]
        for part, values in zip(sums, pair, strict=True):
            part[places, group] = values
        found, swapped = [part.sum(0) for part in sums], exchange(sums[0], sums[1], replicates, rng)
        of_first, of_second = (
            gaps_and_variances(*(rates / cell.rows for rates in one))
            for one in zip(found, swapped, strict=True)
        )
        made.append([np.abs(a - b) for a, b in zip(of_first, of_second, strict=True)])
    gap, gaps, finer, finer_drawn = (np.stack(values) for values in zip(*made, strict=True))
    return gap, gaps, finer, finer_drawn


def row_bootstrap(cell: Cell, simulations: int, seed: int = 0, boots: int = 100) -> dict[str, Any]:
    """Coverage of the bootstrap that fairlearn makes, on the data that `measure` draws with these arguments.

    Rows are drawn again from all rows, and the interval of the gap is that of its percentiles. How many rows
    of each group, called fake or not, a draw has is multinomial: this is `fairlearn_coverage`, thousands of
    times as fast.
    """
    rng = np.random.default_rng([seed, *cell[:3], list(RATES).index(cell.rates)])
    rate = RATES[cell.rates](cell.groups)
    true = float(np.ptp(rate))
    _, x, group = experiments(cell, rate, simulations, rng)
    low, high = bootstrap_ends(
        np.stack([x[group == g].sum(0) for g in range(cell.groups)], -1), cell.rows, boots, rng
    )
    return {
        **cell._asdict(),
        "bootstrap": {
            "coverage": round(float(np.mean((low <= true + 1e-9) & (true <= high + 1e-9))), 4),
            "width": round(float(np.mean(high - low)), 4),
            "without 0": round(float(np.mean(low > 0)), 4),
            "simulations": simulations,
        },
    }


def bootstrap_ends(hits: Floats, rows: int, boots: int, rng: np.random.Generator) -> tuple[Floats, Floats]:
    """Percentiles of gaps of rows drawn again: float64 [S] each. hits: rows called fake of each group of
    `rows`, float64 [S, G].
    """
    share = np.concatenate([hits, rows - hits], -1) / (rows * hits.shape[1])
    drawn = rng.multinomial(rows * hits.shape[1], share[:, None], (len(hits), boots))
    called, rest = np.split(drawn, 2, -1)
    gap = np.ptp(called / np.maximum(called + rest, 1), axis=-1)
    low, high = np.quantile(gap, [0.025, 0.975], axis=-1)
    return low, high


def fairlearn_coverage(
    hits: Floats, cell: Cell, group: Ints, true: float, boots: int = 100
) -> dict[str, float]:
    """The bootstrap of fairlearn over rows of the difference of the false-positive rate: coverage and
    width.
    """
    from fairlearn.metrics import MetricFrame, false_positive_rate

    ends = []
    sensitive = np.repeat(group, cell.cluster)
    for s in range(hits.shape[1]):
        called = (np.arange(cell.cluster) < hits[:, s, None]).ravel().astype(int)
        frame = MetricFrame(
            metrics=false_positive_rate,
            y_true=np.zeros(len(called), int),
            y_pred=called,
            sensitive_features=sensitive,
            n_boot=boots,
            ci_quantiles=[0.025, 0.975],
            random_state=s,
        )
        ends.append(frame.difference_ci(method="between_groups"))
    low, high = np.array(ends, float).T
    return {
        "coverage": float(np.mean((low <= true + 1e-9) & (true <= high + 1e-9))),
        "width": round(float((high - low).mean()), 4),
        "simulations": hits.shape[1],
    }


def area_coverage(
    rows: tuple[int, int], distance: float, cluster: int, simulations: int, seed: int = 0
) -> dict[str, Any]:
    """Coverage of the interval of an AUC: normal scores of reals and fakes, `distance` apart."""
    rng = np.random.default_rng([seed, *rows, cluster])
    true, y = float(norm.cdf(distance / np.sqrt(2))), np.repeat([0, 1], rows)
    parts = [
        latent((1, n // cluster, cluster, simulations), cluster, rng).reshape(n, simulations) for n in rows
    ]
    score, unit = np.concatenate([parts[0], parts[1] + distance]), np.arange(sum(rows)) // cluster
    ends = np.array([auc_error(y, score[:, s], unit, 0 * y).interval() for s in range(simulations)])
    return {
        "reals": rows[0],
        "fakes": rows[1],
        "cluster": cluster,
        "AUC": round(true, 3),
        "width": round(float(np.ptp(ends, 1).mean()), 4),
        "coverage": float(np.mean((ends[:, 0] <= true) & (true <= ends[:, 1]))),
    }


def main() -> None:
    """Print every cell of both grids, and a summary."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--simulations", type=int, default=1000)
    parser.add_argument("--replicates", type=int, default=300)
    parser.add_argument("--tests", type=int, default=200)
    parser.add_argument("--fairlearn", type=int, default=0)
    parser.add_argument("--processes", type=int, default=1)
    for name, values in (("groups", GROUPS), ("rows", ROWS), ("clusters", CLUSTERS)):
        parser.add_argument(f"--{name}", type=int, nargs="+", choices=values, default=values)
    parser.add_argument("--rates", nargs="+", choices=list(RATES), default=list(RATES))
    parser.add_argument(
        "--areas", action=argparse.BooleanOptionalAction, default=True, help="the grid of AUCs"
    )
    parser.add_argument(
        "--bootstrap", action="store_true", help="the bootstrap of rows alone, on the data of the grid"
    )
    given = parser.parse_args()
    began, rows = time.monotonic(), []
    if given.bootstrap:
        for cell in grid(given.groups, given.rows, given.clusters, given.rates):
            print(json.dumps(row_bootstrap(cell, given.simulations)), flush=True)
        return
    one = partial(
        measure,
        simulations=given.simulations,
        replicates=given.replicates,
        tests=given.tests,
        fairlearn=given.fairlearn,
    )
    with multiprocessing.Pool(given.processes) as pool:
        for row in pool.imap(one, grid(given.groups, given.rows, given.clusters, given.rates)):
            rows.append(row)
            print(json.dumps(row), flush=True)
    for name in ("coverage", "rate coverage"):
        values = np.array([row[name] for row in rows])
        print(
            json.dumps(
                {
                    "of": name,
                    "least": values.min(),
                    "at .93 to .97": np.mean((values >= 0.93) & (values <= 0.97)).round(3),
                    "above .97": np.mean(values > 0.97).round(3),
                    "cells": len(rows),
                }
            ),
            flush=True,
        )
    sizes = ((20, 20), (60, 60), (200, 20), (200, 200)) if given.areas else ()
    for size, distance, cluster in itertools.product(sizes, (1.0, 2.0, 2.5), CLUSTERS):
        print(json.dumps(area_coverage(size, distance, cluster, given.simulations)), flush=True)
    print(json.dumps({"seconds": round(time.monotonic() - began, 1)}))


if __name__ == "__main__":
    main()
