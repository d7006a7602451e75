"""A run on a Ray cluster of 3 nodes, and as jobs of submitit, each disturbed in every stage: the same bytes
as in one process.

    python -m benchmarks.cluster                         # both; minutes
    python -m benchmarks.cluster --only slurm --stages sample forge

On the Ray cluster, in each stage that has shards, the node that is at one of them is killed, with all that
runs on it, and another is started. Of the jobs, in each stage, one that is at a shard gets the signal of a
preemption. Every file of the stages is compared with that of the run that nothing disturbed. Prints one JSON
line per way of running; exit code 1 where a byte differs, or where a stage was over before it could be
disturbed.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from benchmarks.cluster_nodes import Nodes
from benchmarks.kill_jobs import SMALL_RUN
from manifests.atomic import digest_file

STAGES = {"cells": "cells", "sample": "sample", "verify": "verify", "forge": "forge", "pair": "dataset"}
"""The stages that have shards, and their folders."""
NOT_COMPARED = ("logs", "jobs", "running", "failed")
TINY = {
    **SMALL_RUN,
    "dataset.only": '["White/Male", "White/Female"]',
    "dataset.per_cell": 4,
    "cells.latents": 400,
    "cells.shard_size": 100,
    "sample.shard_size": 12,
    "verify.shard_size": 12,
    "forge.shard_size": 8,
    "pair.shard_size": 4,
    "pair.allow_short": "true",
}


def contents(out: Path) -> dict[str, str]:
    """Every file of the stages' folders with its digest, but for logs and records of attempts."""
    return {
        path.relative_to(out).as_posix(): digest_file(path)
        for folder in STAGES.values()
        for path in sorted((out / folder).rglob("*"))
        if path.is_file() and path.relative_to(out).parts[1] not in NOT_COMPARED
    }


def start(out: Path, *words: str) -> subprocess.Popen[bytes]:
    """The program as a process: a run of the first stages."""
    sets = [
        word
        for key, value in {**TINY}.items()
        if key != "execute.executor"
        for word in ("--set", f"{key}={value}")
    ]
    command = [
        sys.executable,
        "-m",
        "pipeline",
        "run",
        "--to",
        "pair",
        "--out",
        str(out),
        "--quiet",
        *sets,
        *words,
    ]
    return subprocess.Popen(
        command, stdout=subprocess.DEVNULL, env={**os.environ, "FAIRFORGE_CACHE": str(out / "cache")}
    )


def worker_of(folder: Path) -> int | None:
    """The process that is at a shard of a stage; None where none is."""
    for path in sorted(folder.glob("running/*.json")):
        with suppress(OSError, ValueError, KeyError):
            return int(json.loads(path.read_text(encoding="utf-8"))["pid"])
    return None


def disturbed(
    program: subprocess.Popen[bytes], out: Path, stages: Sequence[str], disturb: Callable[[int], None]
) -> tuple[int, list[str]]:
    """Disturb the program once in each stage while it is at a shard; its exit code, and the stages where
    that came about.
    """
    done = []
    for stage in stages:
        folder = out / STAGES[stage]
        while program.poll() is None and not (folder / "done" / "stage.json").exists():
            worker = worker_of(folder)
            if worker is not None:
                time.sleep(0.1)
                disturb(worker)
                done.append(stage)
                break
            time.sleep(0.01)
    return program.wait(), done


def on_ray(out: Path, stages: Sequence[str]) -> tuple[int, list[str]]:
    """A run on 3 nodes, of which one is killed in each stage: its exit code, and the stages in which one
    was.
    """
    with Nodes(3) as nodes:

        def disturb(worker: int) -> None:
            nodes.kill(worker)
            nodes.add()

        program = start(out, "--executor", "ray", "--ray-address", nodes.address)
        try:
            return disturbed(program, out, stages, disturb)
        finally:
            program.kill()
            program.wait()


def on_slurm(out: Path, stages: Sequence[str]) -> tuple[int, list[str]]:
    """A run as jobs, of which one is preempted in each stage: its exit code, and the stages in which one
    was.
    """
    program = start(out, "--executor", "slurm", "--slurm-cluster", "local", "--workers", "2")

    def disturb(worker: int) -> None:
        with suppress(ProcessLookupError):
            os.kill(worker, signal.SIGUSR1)

    try:
        return disturbed(program, out, stages, disturb)
    finally:
        program.kill()
        program.wait()


WAYS = {"ray": on_ray, "slurm": on_slurm}


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--only", choices=sorted(WAYS), action="append")
    parser.add_argument("--stages", nargs="*", choices=list(STAGES), default=list(STAGES))
    given = parser.parse_args()
    good = True
    with tempfile.TemporaryDirectory() as folder:
        whole = Path(folder, "local")
        begun = time.monotonic()
        if start(whole, "--executor", "local").wait():
            raise RuntimeError("the run in one process failed")
        wanted = contents(whole)
        print(
            json.dumps(
                {"executor": "local", "files": len(wanted), "seconds": round(time.monotonic() - begun, 1)}
            ),
            flush=True,
        )
        for name in given.only or WAYS:
            out, begun = Path(folder, name), time.monotonic()
            code, stages = WAYS[name](out, given.stages)
            found = contents(out)
            differ = sorted(path for path in {*wanted, *found} if wanted.get(path) != found.get(path))
            good &= not differ and not code and stages == given.stages
            value: dict[str, Any] = {
                "executor": name,
                "exit": code,
                "disturbed": stages,
                "files": len(found),
                "differ": differ[:20],
                "seconds": round(time.monotonic() - begun, 1),
            }
            print(json.dumps(value), flush=True)
    return int(not good)


if __name__ == "__main__":
    sys.exit(main())
