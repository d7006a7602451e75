"""A small whole run, made once per test session by two spawned workers: what many tests look at."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

SMALL = {
    "run.name": "small",
    "run.seed": 7,
    "dataset.only": '["White/Male", "White/Female", "Asian/Male", "Asian/Female"]',
    "dataset.per_cell": 6,
    "dataset.splits": "{train=0.34, val=0.33, test=0.33}",
    "cells.latents": 480,
    "cells.shard_size": 120,
    "cells.hit_rate_draws": 16,
    "cells.min_race_prob": 0.4,
    "cells.min_gender_prob": 0.6,
    "cells.min_latents": 6,
    "cells.refine_rounds": 1,
    "cells.refine_draws": 12,
    "sample.shard_size": 40,
    "sample.oversample": 1.6,
    "verify.slack": 1.5,
    "verify.shard_size": 40,
    "verify.min_race_prob": 0.4,
    "verify.min_gender_prob": 0.6,
    "verify.min_sharpness": 1.0,
    "forge.shard_size": 40,
    "forge.swap_margin": -2,
    "forge.min_transferred": -10,
    "pair.shard_size": 12,
    "cross.per_cell": 2,
    "evaluate.replicates": 20,
    "evaluate.min_n": 2,
    "train.epochs": 2,
    "train.batch": 16,
    "train.input_size": 32,
}


def small_arguments(out: Path, *, executor: str, workers: int) -> list[str]:
    """Arguments of `fairforge run` for the small run."""
    sets = [part for key, value in SMALL.items() for part in ("--set", f"{key}={value}")]
    return ["run", "--out", str(out), "--executor", executor, "--workers", str(workers), *sets]


def command(arguments: list[str]) -> list[str]:
    """The program as a command line."""
    return [sys.executable, "-W", "error", "-m", "pipeline", *arguments]


def environment() -> dict[str, str]:
    """The environment of a child: no photographs, so that the second dataset is the same everywhere."""
    return {**os.environ, "FAIRFORGE_DATA": ""}


@pytest.fixture(scope="session")
def small_run(tmp_path_factory: pytest.TempPathFactory, worker_id: str) -> Path:
    """The finished small run; made once, also when several test processes ask for it."""
    root = tmp_path_factory.getbasetemp()
    root = root if worker_id == "master" else root.parent
    out = root / "small-run"
    import fcntl

    with open(root / "small-run.lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (out / "report" / "done" / "stage.json").is_file():
            done = subprocess.run(
                command(small_arguments(out, executor="process", workers=2)),
                env=environment(),
                capture_output=True,
                text=True,
                check=False,
            )
            assert done.returncode == 0, done.stderr[-4000:]
    return out
