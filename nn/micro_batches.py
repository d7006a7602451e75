"""Canonical micro-batches: one batch shape for a network, so that an output depends on its own input alone.

Kernels choose their blocking by the shape of the input. With a fixed number of rows (the last batch is filled
up with repeats) every row gets the same arithmetic whatever its neighbours, its position or the number of
samples. So the number of rows is part of what an output is, as is the number of threads, and it is a constant
of each network. Which constant is fast is measured by `fastest_rows` (`python -m benchmarks.micro_batches`).
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence

import numpy as np
import numpy.typing as npt

from manifests.errors import UsageError

Indices = npt.NDArray[np.int64]


def micro_batches(count: int, rows: int) -> Iterator[tuple[Indices, int]]:
    """The micro-batches of so many samples.

    Args:
        count: samples.
        rows: of each micro-batch, from 1.

    Yields:
        Which samples it holds, int64 [rows], and how many of them, at the front, are not repeats.

    Raises:
        UsageError: no positive number of rows.
    """
    if rows < 1:
        raise UsageError(f"micro_batch {rows}", "is not positive", "give 1 or more")
    for start in range(0, count, rows):
        kept = min(rows, count - start)
        yield start + np.arange(rows) % kept, kept


def fastest_rows(
    run: Callable[[int], object],
    sizes: Sequence[int],
    *,
    rounds: int = 3,
    clock: Callable[[], float] = time.perf_counter,
) -> dict[int, float]:
    """Seconds that a sample takes at each size of a micro-batch, the fastest size first.

    Sizes take turns, so that a slower moment of the machine meets all of them, and the best of the rounds
    counts.

    Args:
        run: computes one micro-batch of so many rows, and waits for the result.
        sizes: numbers of rows, from 1.
        rounds: how often each is measured, after once for warming up.
        clock: seconds.
    """
    best = dict.fromkeys(sizes, float("inf"))
    for number in range(rounds + 1):
        for size in sizes:
            start = clock()
            run(size)
            if number:
                best[size] = min(best[size], (clock() - start) / size)
    return dict(sorted(best.items(), key=lambda one: one[1]))
