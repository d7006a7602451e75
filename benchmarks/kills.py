"""Kill -9 at random moments, then the same command again: the same bytes as without a kill, and nothing left
over.

    python -m benchmarks.kills --seed 2026 --kills 60               # over all jobs; minutes
    python -m benchmarks.kills --seed 2026 --kills 6 --jobs import export-webdataset

A job is one long command on drawn data. It runs once to its end; then it is started, killed after a time
drawn evenly from the time that took, and started again, until it has been killed often enough and ends by
itself. Every file it leaves is compared. The seed draws the moments; the machine's speed decides what they
hit. Prints one JSON line per job; exit code 1 where a byte differs.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import shutil
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.kill_jobs import JOBS, LIGHT, Job, draw_pictures, import_, prepare
from manifests.atomic import digest_bytes
from manifests.seeding import rng_of

ALWAYS = [
    "pyarrow.parquet",
    "PIL.Image",
    "pydantic",
    "typer",
    "pipeline.cli",
    "pipeline.commands.datasets",
    "pipeline.commands.export",
    "manifests.adapters.folder",
    "manifests.release",
    "manifests.store",
]
HEAVY = [
    "torch",
    "timm",
    "torchvision",
    "detector.training.loop",
    "generators.training.loop",
    "pipeline.stages",
    "sklearn.metrics",
]
"""Imported once for all processes, the first for every job: that takes longer than the work."""
NEVER_THE_SAME = {"run.json", ".lock", ".step-lock"}
CLOCKS = {"images_per_second", "seconds"}


def content(path: Path) -> str:
    """The digest of a file; of figures line by line without those of the clock."""
    data = path.read_bytes()
    if path.name == "metrics.jsonl":
        lines = [
            {key: value for key, value in json.loads(line).items() if key not in CLOCKS}
            for line in data.splitlines()
        ]
        data = json.dumps(lines, sort_keys=True).encode()
    return digest_bytes(data)


def contents(out: Path) -> dict[str, str]:
    """Every file of a job's folder, those that a kill may have left among them."""
    return {
        path.relative_to(out).as_posix(): content(path)
        for path in sorted(out.rglob("*"))
        if path.is_file() and path.name not in NEVER_THE_SAME
    }


def started(job: Job, base: Path, out: Path) -> Any:
    """The job in a process of its own."""
    starter = multiprocessing.get_context("forkserver")
    process = starter.Process(target=job, args=(base, out))
    process.start()
    return process


def until_killed(
    job: Job,
    base: Path,
    folder: Path,
    kills: int,
    rng: np.random.Generator,
    seconds: float,
    wanted: dict[str, str],
) -> list[Path]:
    """Start and kill the job until it was killed `kills` times; the folders where it ended at last.

    wanted: contents of a finished folder. A kill between the last byte and the process's end leaves nothing
    to go on with, and some commands refuse to write over what they finished.
    """
    made: list[Path] = []
    while kills > 0:
        out = folder / f"{len(made)}"
        ended = False
        while not ended:
            process = started(job, base, out)
            process.join(None if kills <= 0 else float(rng.uniform(0, seconds)))
            ended = not process.is_alive()
            if not ended:
                process.kill()
                process.join()
                kills -= 1
                ended = contents(out) == wanted
            elif process.exitcode:
                raise RuntimeError(f"ended with {process.exitcode} after a kill in {out}")
        made.append(out)
    return made


def kill(names: Sequence[str], kills: int, seed: int, folder: Path) -> list[dict[str, Any]]:
    """Kill every job `kills` times, at least once each; what differed from the run that nobody killed, by
    job.

    Args:
        names: of `JOBS`.
        kills: of each job.
        seed: draws the moments.
        folder: to work in.
    """
    base = folder / "base"
    light = set(names) <= set(LIGHT)
    multiprocessing.get_context("forkserver").set_forkserver_preload([*ALWAYS, *([] if light else HEAVY)])
    if not light:
        prepare(base)
    else:
        draw_pictures(base / "pictures")
        import_(base, base / "m")
    found = []
    for name in names:
        job, begun = JOBS[name], time.monotonic()
        process = started(job, base, folder / name / "whole")
        process.join()
        seconds = time.monotonic() - begun
        if process.exitcode:
            raise RuntimeError(f"{name} ended with {process.exitcode}")
        wanted = contents(folder / name / "whole")
        differ: dict[str, list[str]] = {}
        for out in until_killed(
            job, base, folder / name, kills, rng_of(seed, "kills", name), seconds, wanted
        ):
            left = contents(out)
            names_of = sorted(file for file in {*wanted, *left} if wanted.get(file) != left.get(file))
            differ |= {out.name: names_of} if names_of else {}
        found.append(
            {
                "job": name,
                "kills": kills,
                "files": len(wanted),
                "seconds": round(seconds, 2),
                "differ": differ,
            }
        )
        shutil.rmtree(folder / name)
    return found


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--kills", type=int, default=60, help="in all, shared evenly between the jobs")
    parser.add_argument("--seed", type=int, default=2026)
    parser.add_argument("--jobs", nargs="*", choices=sorted(JOBS), default=sorted(JOBS))
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        each = -(-given.kills // len(given.jobs))
        found = kill(given.jobs, each, given.seed, Path(folder))
    for one in found:
        print(json.dumps(one))
    return int(any(one["differ"] for one in found))


if __name__ == "__main__":
    sys.exit(main())
