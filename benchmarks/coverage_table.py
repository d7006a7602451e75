"""The page of `benchmarks.coverage`: `python -m benchmarks.coverage_table LOG [LOG ...] >
docs/measurements/coverage.md`.

The logs are what runs of it printed, one of them the whole grid; others may add `--bootstrap` and
`--fairlearn` of some settings.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmarks.coverage import CLUSTERS, GROUPS, RATES, ROWS, TESTS, Cell
from detector.metrics.ties import CHOICES

Row = dict[str, Any]
HELD, SIZES = (0.93, 0.97), (0.03, 0.07)
LIKE = ("equal", "rare")
"""Rates whose groups are equal, so that what a permutation test rejects is its size."""
HEAD = """# Coverage of intervals, sizes of tests

A simulation of {count} settings by the code that reports use, seed 0: in each {simulations} experiments for the intervals (standard
error of a coverage near .95: {error}) and {tests} for the tests (of a size near .05: {size_error}; of those with anything to test). Rows are those of each class in
a group; in clusters of four, rows have latent scores that correlate by .6. False-positive rates: *equal* .15, *rare* .03, *apart*
.1 and one group at .3, *spread* evenly from .1 to .3 (with two groups the same as *apart*, by another draw), *rare apart* .02 and
one group at .1. **Bold** is what lies outside of .93 to .97 (coverage) or .03 to .07 (size). Two figures with a
stroke between are those of `ties = mid` (half of the ties count) / `ties = random` (a share drawn once, half where no gap is found; the default).

Made by `python -m benchmarks.coverage --groups 2 4 --simulations 2000 --tests 4000` and `--groups 8 14 --no-areas --simulations 2000
--tests 1000` (40 minutes of one core), the same with `--bootstrap --tests 0` (a minute), and `python -m benchmarks.coverage_table` of what they print. What it means:
[metrics](../metrics.md#how-often-the-intervals-hold-the-truth).
"""
Column = Callable[[Mapping[str, Row]], str]
"""What stands in a cell of a table, from the rows by name of rates."""


def read(paths: Iterable[Path]) -> tuple[dict[Cell, Row], list[Row]]:
    """The rows of the settings, what several logs say of one together, and those of the areas."""
    cells: dict[Cell, Row] = {}
    areas = []
    for path in paths:
        for line in path.read_text(encoding="utf-8").splitlines():
            row = json.loads(line)
            if "rates" in row:
                cell = Cell(*(row[name] for name in Cell._fields))
                cells[cell] = row | cells.get(cell, {})
            elif "AUC" in row:
                areas.append(row)
    return cells, areas


def share(value: float, limits: tuple[float, float] | None = None) -> str:
    """`.95`, in bold outside the limits."""
    text = f"{value:.3f}".removeprefix("0")
    return text if limits is None or limits[0] <= value <= limits[1] else f"**{text}**"


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A Markdown table, its first three columns the setting."""
    lines = [head, ["---:"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def by_setting(cells: Mapping[Cell, Row], columns: Mapping[str, Column]) -> str:
    """One line per groups, rows and cluster; each column made of the rows by name of rates."""
    lines = []
    for groups in GROUPS:
        for rows in ROWS:
            for cluster in CLUSTERS:
                found = {
                    cell.rates: row for cell, row in cells.items() if cell[:3] == (groups, rows, cluster)
                }
                if found:
                    lines.append(
                        [str(groups), str(rows), str(cluster), *(make(found) for make in columns.values())]
                    )
    return table(["groups", "rows", "cluster", *columns], lines)


def by_ties(
    value: Callable[[Row, str], float], rates: Sequence[str], limits: tuple[float, float] | None = None
) -> dict[str, Column]:
    """A column for each kind of rates: a figure with half of the ties / with a drawn share of them."""

    def column(rate: str) -> Column:
        return lambda found: (
            " / ".join(share(value(found[rate], ties), limits) for ties in CHOICES) if rate in found else ""
        )

    return {rate: column(rate) for rate in rates}


def of_interval(row: Row, name: str, ties: str) -> float:
    """A figure of the interval by how ties count."""
    return float(row[name] if ties == "mid" else row[ties][name])


def of_test(row: Row, test: str, ties: str) -> float:
    """The size or power of a test by how ties count."""
    return float(row["tests" if ties == "mid" else "randomised"][test])


def each(name: str, limits: tuple[float, float] | None = None, part: str | None = None) -> dict[str, Column]:
    """A column for each kind of rates, of the figure `name`, or of `name` in `part`."""

    def column(rates: str) -> Column:
        return lambda found: (
            share(found[rates][part][name] if part else found[rates][name], limits) if rates in found else ""
        )

    return {rates: column(rates) for rates in RATES}


def counted(values: Sequence[float], limits: tuple[float, float]) -> str:
    """How many lie within the limits, how many beyond either, and the extremes."""
    below, above = sum(v < limits[0] for v in values), sum(v > limits[1] for v in values)
    kept, low, high = len(values) - below - above, share(limits[0]), share(limits[1])
    return (
        f"{kept} of {len(values)} ({kept / len(values):.0%}) from {low} to {high}, {below} below, {above}"
        f" above; lowest {share(min(values))}, highest {share(max(values))}"
    )


def summary(cells: Mapping[Cell, Row]) -> list[str]:
    """The counts of the page, one line each."""
    rows = list(cells.values())
    rates = [value for row in rows for value in row["of first and last"]]
    rare = ("rare", "rare apart")
    lines = []
    for ties in CHOICES:
        held = [of_interval(row, "coverage", ties) for row in rows]
        many = [
            of_interval(row, "coverage", ties) for row in rows if row["rates"] not in rare or row["rows"] > 60
        ]
        sizes = [
            of_test(row, test, ties)
            for row in rows
            for test in TESTS
            if row["rates"] in LIKE or test == TESTS[2]
        ]
        lines += [
            f"Coverage of gaps, ties {ties}: {counted(held, HELD)}.",
            f"The same where rates are not rare, or rows are more than 60: {counted(many, HELD)}.",
            f"Sizes of tests, ties {ties}: {counted(sizes, SIZES)}.",
        ]
    lines.append(f"Coverage of a group's FPR, first and last group: {counted(rates, HELD)}.")
    boots = [row["bootstrap"]["coverage"] for row in rows if "bootstrap" in row]
    return lines + ([f"The bootstrap of rows on the same data: {counted(boots, HELD)}."] if boots else [])


def sizes_of(test: str) -> dict[str, Column]:
    """Columns of a test's sizes where groups are equal, headed by its name."""
    columns = by_ties(lambda row, ties: of_test(row, test, ties), LIKE, SIZES)
    return {f"{test} {rates}": make for rates, make in columns.items()}


def how_many(cells: Mapping[Cell, Row], name: str) -> tuple[str, int]:
    """How many experiments the settings had, in words, and the least of them."""
    groups: dict[int, set[int]] = {}
    for cell, row in cells.items():
        groups.setdefault(row[name], set()).add(cell.groups)
    many = sorted(groups, reverse=True)
    text = str(many[0])
    for n in many[1:]:
        text += f" ({n} with {' and '.join(map(str, sorted(groups[n])))} groups)"
    return text, many[-1]


def page(cells: Mapping[Cell, Row], areas: Sequence[Row]) -> str:
    """The page as Markdown."""
    (simulations, fewest), (tests, fewest_tests) = (
        how_many(cells, name) for name in ("simulations", "experiments")
    )
    error, size_error = ((p * (1 - p) / n) ** 0.5 for p, n in ((0.95, fewest), (0.05, fewest_tests)))
    kinds = list(RATES)
    parts = [
        HEAD.format(
            count=len(cells),
            simulations=simulations,
            tests=tests,
            error=share(error),
            size_error=share(size_error),
        ),
        "\n".join(f"- {line}" for line in summary(cells)),
        "## Coverage of the interval of F_FPR",
        by_setting(cells, by_ties(lambda row, ties: of_interval(row, "coverage", ties), kinds, HELD)),
        "## Mean width of that interval",
        by_setting(cells, by_ties(lambda row, ties: of_interval(row, "width", ties), kinds)),
        "## Coverage of a group's FPR, the lower of the first and the last group",
        by_setting(
            {cell: {**row, "least": min(row["of first and last"])} for cell, row in cells.items()},
            each("least", HELD),
        ),
        "## Sizes of tests",
        by_setting(cells, sizes_of(TESTS[0]) | sizes_of(TESTS[1])),
        "The comparison of two like detectors, `compare F_FPR`:",
        by_setting(cells, by_ties(lambda row, ties: of_test(row, TESTS[2], ties), kinds, SIZES)),
        "## Power: how often the permutation test of F_FPR rejects where rates differ",
        by_setting(
            cells,
            by_ties(lambda row, ties: of_test(row, TESTS[0], ties), [k for k in kinds if k not in LIKE]),
        ),
    ]
    if any("bootstrap" in row for row in cells.values()):
        parts += [
            "## Coverage of the bootstrap of rows (fairlearn's), on the same data",
            by_setting(
                {cell: row for cell, row in cells.items() if "bootstrap" in row},
                each("coverage", HELD, "bootstrap"),
            ),
        ]
    library = {cell: row["fairlearn"] for cell, row in cells.items() if "fairlearn" in row}
    if library:
        parts += [
            "By the library itself (`MetricFrame(n_boot=100)`, by `--fairlearn`), on the first experiments:",
            table(
                [
                    "groups",
                    "rows",
                    "cluster",
                    "rates",
                    "experiments",
                    "fairlearn holds",
                    "its width",
                    "ours holds",
                    "our width",
                ],
                [
                    [
                        *map(str, cell),
                        str(one["simulations"]),
                        share(one["coverage"]),
                        share(one["width"]),
                        share(one["ours"]),
                        share(one["our width"]),
                    ]
                    for cell, one in library.items()
                ],
            ),
        ]
    parts += [
        "## Coverage of the interval of an AUC",
        table(
            ["reals", "fakes", "cluster", "AUC", "coverage", "mean width"],
            [
                [
                    str(one["reals"]),
                    str(one["fakes"]),
                    str(one["cluster"]),
                    share(one["AUC"]),
                    share(one["coverage"], HELD),
                    share(one["width"]),
                ]
                for one in areas
            ],
        ),
    ]
    return "\n\n".join(part.strip() for part in parts) + "\n"


def main(words: Sequence[str]) -> int:
    """Print the page of these logs."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("logs", type=Path, nargs="+", help="What `benchmarks.coverage` printed.")
    logs = parser.parse_args(words).logs
    missing = [str(path) for path in logs if not path.is_file()]
    if missing:
        parser.error(f"no such file: {', '.join(missing)}")
    cells, areas = read(logs)
    whole = {cell: row for cell, row in cells.items() if "tests" in row}
    if not whole:
        parser.error("no line in these files has tests: give what `benchmarks.coverage --tests N` printed")
    print(page(whole, areas), end="")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
