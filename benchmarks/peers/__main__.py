"""Ours against what a user would pick instead, in one run: `python -m benchmarks.peers [--rounds 5] [--only
NAME ...]`.

Every line does the same work in two ways, in turns, and prints how many times faster ours is, with
quartiles over rounds. A ratio below its goal is marked. On one thread; `--clock cpu` counts this process's
own time, where other programs share the machine.
"""

from __future__ import annotations

import argparse
import json
import os
import tempfile
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

os.environ.update(dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"), "1"))

from benchmarks.peers import learning, measuring, pictures
from benchmarks.peers.timing import CLOCKS, Comparison, measure
from pipeline.engine.executors import one_thread


def _rows(size: float) -> tuple[int, int]:
    """Rows and replicates."""
    return max(int(20_000 * size), 500), max(int(100 * size), 5)


NAMES: dict[str, Callable[[Path, float], Comparison]] = {
    "generation": lambda folder, size: pictures.generation(max(int(128 * size), 16)),
    "generation-256": lambda folder, size: pictures.official_size(max(int(4 * size), 1)),
    "generation-256-bf16": lambda folder, size: pictures.official_size(
        max(int(4 * size), 1), precision="bf16"
    ),
    "detection": lambda folder, size: pictures.detection(max(int(32 * size), 2)),
    "forging": lambda folder, size: pictures.forging(max(int(40 * size), 8)),
    "fairlearn": lambda folder, size: measuring.fairlearn_bootstrap(
        max(int(20_000 * size), 500), max(int(100 * size), 5)
    ),
    "scikit-learn": lambda folder, size: measuring.sklearn_loop(
        max(int(20_000 * size), 500), max(int(100 * size), 5)
    ),
    "training": lambda folder, size: learning.training(folder, max(int(512 * size), 64)),
    "reading": lambda folder, size: learning.reading(folder, max(int(1000 * size), 20)),
}


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--only", nargs="+", default=list(NAMES), choices=list(NAMES))
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--size", type=float, default=1.0, help="of the work; 0.1 is a tenth")
    parser.add_argument("--clock", choices=list(CLOCKS), default="wall")
    parser.add_argument("--json", action="store_true")
    given = parser.parse_args()
    one_thread()
    head = ("of", "against", "ours, items/s", "theirs", "ratio [quartiles]", "goal", "the same?")
    if not given.json:
        print("| " + " | ".join(head) + " |\n|---|---|---:|---:|---|---:|---|", flush=True)
    for name in given.only:
        with tempfile.TemporaryDirectory() as folder:
            one = NAMES[name](Path(folder), given.size)
            found = measure(one, given.rounds, given.clock)
        if given.json:
            facts = {
                "name": name,
                "of": one.name,
                "against": one.against,
                "goal": one.goal,
                "agree": one.agree,
            }
            print(json.dumps(facts | asdict(found)), flush=True)
            continue
        lost = "" if found.ratio >= one.goal else " (lost)"
        rates = f"{found.ours_per_s:.3g} | {found.peer_per_s:.3g}"
        ratio = f"{found.ratio:.2f} [{found.low:.2f}, {found.high:.2f}]{lost}"
        print(f"| {one.name} | {one.against} | {rates} | {ratio} | {one.goal:g} | {one.agree} |", flush=True)


if __name__ == "__main__":
    main()
