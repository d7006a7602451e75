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
from detector.metrics.effective_rows import group_rates, rate_interval
from detector.metrics.gap_intervals import invert, most
from detector.metrics.replicates import Floats, Ints, mid_p, permuted_counts

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
    true = float(np.ptp(rate))
    at_once = max(1, ELEMENTS // (cell.groups * replicates * 13))
    known, ends, estimate, held, found = np.ones((1, cell.groups), bool), [], [], [], []
    m, x, group = experiments(cell, rate, simulations, rng)
    rates = group_rates(np.stack([m, m]), np.stack([x, x]), group, cell.groups)
    for start in range(0, simulations, at_once):
        part = slice(start, start + at_once)
        got = invert(
            rates.rate[:1, :, part], rates.rows[:1, :, part], known, lambda v: most(v[0]), replicates, rng
        )
        ends.append(np.stack([got.low, got.high]))
        estimate.append(got.estimate)
    low, high = np.concatenate(ends, 1)
    for g, s in itertools.product((0, cell.groups - 1), range(simulations)):
        a, b = rate_interval(float(rates.rate[0, g, s]), float(rates.rows[0, g, s]), rates.freedom[0])
        held.append(a <= rate[g] <= b)  # first the first group's, then the last's
    found = most(rates.rate[0])
    out: dict[str, Any] = {
        **cell._asdict(),
        "gap": round(true, 3),
        "coverage": float(np.mean((low <= true + 1e-9) & (true <= high + 1e-9))),
        "width": float(np.mean(high - low)),
        "without 0": float(np.mean(low > 0)),
        "found": float(found.mean()),
        "corrected": float(np.concatenate(estimate).mean()),
        "rate coverage": float(np.mean(held)),
        "of first and last": np.mean(np.reshape(held, (2, -1)), 1).round(4).tolist(),
    }
    if tests:
        out |= {"simulations": simulations, "experiments": tests, **sizes_of_tests(cell, rate, tests, rng)}
    if fairlearn:
        ours = (low <= true + 1e-9) & (true <= high + 1e-9)
        out["fairlearn"] = {
            **fairlearn_coverage(x[:, :fairlearn], cell, group, true),
            "ours": float(np.mean(ours[:fairlearn])),
            "our width": round(float(np.mean((high - low)[:fairlearn])), 4),
        }
    return {name: round(v, 4) if isinstance(v, float) else v for name, v in out.items()}


def sizes_of_tests(
    cell: Cell,
    rate: Floats,
    n: int,
    rng: np.random.Generator,
    replicates: int = 199,
) -> dict[str, dict[str, float]]:
    """Shares of p at most .05: permutation of F_FPR and F_DP (fakes are found at .85), exchange of two like
    detectors.

    Of `tests`, that count a tie half, as reports do, and of `randomised`, that count a share of it drawn for
    each experiment: those have a size of exactly .05 if the draws are those of the null, however few values
    the gap can take.
    """
    m, x, group = experiments(cell, rate, n, rng)
    _, hits, _ = experiments(cell, np.full(cell.groups, FOUND), n, rng)
    other = experiments(cell, rate, n, rng)[1]
    home, pattern = np.tile(group, 2), np.repeat([1, 2], len(group))
    small, shares = (
        np.zeros((2, len(TESTS))),
        np.random.default_rng([n, *cell[:3], list(RATES).index(cell.rates)]).random((n, 3)),
    )
    rows = np.bincount(group, m[:, 0], cell.groups)
    for s in range(n):
        real = np.stack([m[:, s], 0 * m[:, s], x[:, s], 0 * m[:, s]], 1)
        fake = np.stack([0 * m[:, s], m[:, s], 0 * m[:, s], hits[:, s]], 1)
        total = np.concatenate([real, fake])
        drawn = permuted_counts(total, home, pattern, cell.groups, replicates, rng)
        compared = []
        for k, (called, size) in enumerate(
            ((drawn[..., 2], rows), (drawn[..., 2] + drawn[..., 3], 2 * rows))
        ):
            real_gap = np.bincount(group, x[:, s] + (hits[:, s] if k else 0), cell.groups) / size
            gaps, gap = np.ptp(called / size, axis=-1), np.ptp(real_gap)
            compared.append((float(gap), gaps, float(np.var(real_gap)), np.var(called / size, axis=-1)))
        pair = [np.zeros((len(group), cell.groups)) for _ in range(2)]
        for part, values in zip(pair, (x[:, s], other[:, s]), strict=True):
            part[np.arange(len(group)), group] = values
        swapped, found = exchange(*pair, replicates, rng), [part.sum(0) for part in pair]
        (gap, gaps), (finer, finer_drawn) = (
            [
                np.abs(np.subtract(*(measure(part / rows, axis=-1) for part in parts)))
                for parts in (found, swapped)
            ]
            for measure in (np.ptp, np.var)
        )
        compared.append((float(gap), gaps, float(finer), finer_drawn))
        for k, (what, share) in enumerate(zip(compared, shares[s], strict=True)):
            small[:, k] += mid_p(*what) <= SIZE, mid_p(*what, ties=float(share)) <= SIZE
    halves, random = (dict(zip(TESTS, line, strict=True)) for line in (small / n).round(4).tolist())
    return {"tests": halves, "randomised": random}


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
    ends = np.array([rate_interval(*auc_error(y, score[:, s], unit, 0 * y)) for s in range(simulations)])
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
