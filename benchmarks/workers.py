"""How much faster are several workers than one? `python -m benchmarks.workers RUN [--workers 2] [--shards
12] [--rounds 3]`.

The shards of stages `sample`, `verify` and `forge` of a finished run are made again, in a folder of their
own, by one worker process and by several, in turns, so that a machine that slows down slows both. Workers
have their models before the clock starts. Prints a table: shards per second and the ratio, with its
quartiles over rounds. The goal for two workers is 1.8; exit code 4 below it with `--strict` (a machine that
does other work too gives less).
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path

import numpy as np

from manifests.errors import EXIT_GATE
from pipeline.engine.config_file import load_config
from pipeline.engine.executors import Executor
from pipeline.engine.progress import Reporter
from pipeline.engine.run_directory import CONFIG, RunDirectory
from pipeline.engine.shards import Task, do_shard
from pipeline.engine.stage import Context
from pipeline.engine.stages import STAGES

STAGE_NAMES = ("sample", "verify", "forge")
GOAL = 0.9
"""Least share of the workers' number that the ratio is."""


def tasks_of(run: RunDirectory, stage: str, count: int, out: Path) -> list[Task]:
    """The first `count` shards of a stage of a finished run, to be made below `out`."""
    with Executor("local", 1) as executor:
        found = STAGES.create(stage).tasks(Context(run, executor, Reporter(quiet=True)), "benchmark")
    return [replace(task, folder=out / stage) for task in found[:count]]


def seconds(executor: Executor, tasks: list[Task]) -> float:
    """Wall time of making these shards."""
    start = time.perf_counter()
    for _ in executor.map(do_shard, tasks):
        pass
    return time.perf_counter() - start


def compared(tasks: list[Task], workers: int, rounds: int) -> dict[str, float]:
    """Shards per second with one worker and with several, and quartiles of their ratio over rounds."""
    one, many = Executor("process", 1), Executor("process", workers)
    alone: list[float] = []
    together: list[float] = []
    with one, many:
        # One worker is this process; the others have loaded their models after two shards each.
        seconds(one, tasks[:1])
        seconds(many, (tasks * (2 * workers))[: 2 * workers])
        for _ in range(rounds):
            alone.append(seconds(one, tasks))
            together.append(seconds(many, tasks))
    low, middle, high = np.quantile(np.array(alone) / np.array(together), [0.25, 0.5, 0.75])
    return {
        "shards": len(tasks),
        "one_per_s": round(len(tasks) / float(np.median(alone)), 3),
        "several_per_s": round(len(tasks) / float(np.median(together)), 3),
        "ratio": round(float(middle), 2),
        "low": round(float(low), 2),
        "high": round(float(high), 2),
    }


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("run", type=Path, help="folder of a finished run")
    parser.add_argument("--stages", nargs="+", default=list(STAGE_NAMES), choices=STAGE_NAMES)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--shards", type=int, default=12, help="of each stage, at the most")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--strict", action="store_true", help="exit code 4 where the goal is not met")
    parser.add_argument("--json", action="store_true")
    given = parser.parse_args()
    run = RunDirectory(given.run, load_config(given.run / CONFIG))
    found = {}
    for stage in given.stages:
        with tempfile.TemporaryDirectory() as name:
            tasks = tasks_of(run, stage, given.shards, Path(name))
            found[stage] = compared(tasks, given.workers, given.rounds)
    if given.json:
        print(json.dumps({"workers": given.workers, "stages": found}, indent=1))
    else:
        print(
            f"| stage | shards | one worker, shards/s | {given.workers} workers | ratio [quartiles] |"
            "\n|---|---:|---:|---:|---|"
        )
        for stage, one in found.items():
            ratio = f"{one['ratio']} [{one['low']}, {one['high']}]"
            print(f"| {stage} | {one['shards']} | {one['one_per_s']} | {one['several_per_s']} | {ratio} |")
    short = [stage for stage, one in found.items() if one["ratio"] < GOAL * given.workers]
    sys.exit(EXIT_GATE if short and given.strict else 0)


if __name__ == "__main__":
    main()
