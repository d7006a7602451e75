"""Two ways of the same work, in turns: how many times faster is ours, with quartiles over rounds."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

Way = Callable[[], object]


@dataclass(frozen=True)
class Comparison:
    """ours, peer: do the same work. items: how many pictures, pairs or replicates it is of. goal: least
    ratio.

    agree: whether the two gave the same, as a sentence.
    """

    name: str
    against: str
    items: int
    goal: float
    ours: Way
    peer: Way
    agree: str = ""


@dataclass(frozen=True)
class Measured:
    """Medians of items per second, and the median and quartiles of the ratio of both ways' times."""

    ours_per_s: float
    peer_per_s: float
    ratio: float
    low: float
    high: float


CLOCKS: dict[str, Callable[[], float]] = {"wall": time.perf_counter, "cpu": time.process_time}


def measure(one: Comparison, rounds: int, clock: str) -> Measured:
    """Both ways in turns, after one round that is not counted.

    Args:
        one: what is compared.
        rounds: that count.
        clock: `wall`, or `cpu` of this process, which other programs do not lengthen.
    """
    now = CLOCKS[clock]
    times = np.empty((rounds, 2))
    for k in range(-1, rounds):
        for place, way in enumerate((one.ours, one.peer)):
            start = now()
            way()
            if k >= 0:
                times[k, place] = max(now() - start, 1e-9)
    low, middle, high = np.quantile(times[:, 1] / times[:, 0], [0.25, 0.5, 0.75])
    ours, peer = one.items / np.median(times, axis=0)
    return Measured(float(ours), float(peer), float(middle), float(low), float(high))
