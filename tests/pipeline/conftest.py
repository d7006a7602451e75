"""A small whole run, made once per test session by two spawned workers: what many tests look at."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks.small_run import SETTINGS

SMALL = {"run.name": "small", **SETTINGS}


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
