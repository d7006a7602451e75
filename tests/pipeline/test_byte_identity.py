"""1 worker = 2 workers = killed in the middle of each stage and resumed, by the digests of every stage and
every file.
"""

import multiprocessing
import os
import signal
import subprocess
import time
import warnings
from pathlib import Path

import pytest

from manifests.atomic import digest_file
from pipeline.__main__ import main
from pipeline.engine.config import Config
from pipeline.engine.run_directory import RunDirectory, folder_name
from pipeline.engine.stage import finished_marker
from pipeline.engine.stages import all_stages
from tests.pipeline.conftest import command, environment, small_arguments

STAGES = [stage for stage in all_stages() if not stage.optional]

NEVER_THE_SAME = {"run.json", "config.toml", ".lock", ".step-lock"}


def contents(root: Path) -> dict[str, str]:
    """sha256 of every file of a run but those that say when and how it was called, and the resume states."""
    out = {}
    for path in sorted(root.rglob("*")):
        name = path.relative_to(root).as_posix()
        if path.is_file() and path.name not in NEVER_THE_SAME and not name.startswith("detector/state"):
            out[name] = digest_file(path)
    return out


def stage_digests(root: Path) -> dict[str, str]:
    return {
        stage.name: finished_marker(RunDirectory(root, Config()), stage.name)["digest"] for stage in STAGES
    }


HEAVY = [
    "torch",
    "torchvision",
    "timm",
    "cv2",
    "sklearn.ensemble",
    "sklearn.mixture",
    "scipy.sparse.linalg",
    "torch._dynamo",
    "attribute_models.attributes.small",
    "attribute_models.networks.dlib",
    "attribute_models.networks.mtcnn",
    "generators",
    "pipeline.stages",
    "detector.training.loop",
]
"""Imported once for all the processes that are killed: these take longer than the work before the kill."""


def program(arguments: list[str]) -> None:
    """The program, in a process of its own."""
    os.environ.update(environment())
    warnings.simplefilter("error")
    raise SystemExit(main([*arguments, "--quiet"]))


def kill_inside(stage_folder: Path, arguments: list[str]) -> bool:
    """Start the program, kill -9 it once `stage_folder` shows that the stage began; False when it ended
    before.
    """
    starter = multiprocessing.get_context("forkserver")
    starter.set_forkserver_preload(HEAVY)
    process = starter.Process(target=program, args=(arguments,))
    process.start()
    assert process.pid is not None
    while process.is_alive():
        begun = (stage_folder / "key.json").is_file()
        shards = list(stage_folder.glob("done/0*.json"))
        if begun and (shards or stage_folder.name in ("audit", "detector", "evaluate", "release", "report")):
            time.sleep(0.2)
            process.kill()
            process.join()
            assert process.exitcode == -signal.SIGKILL
            return True
        time.sleep(0.02)
    assert process.exitcode == 0
    return False


def test_killed_in_every_stage_and_resumed_by_one_worker_equals_two_workers(
    tmp_path: Path,
    request: pytest.FixtureRequest,
):
    out = tmp_path / "killed"
    arguments = small_arguments(out, executor="local", workers=1)
    killed = []
    for stage in STAGES:
        folder = out / folder_name(stage.name)
        if kill_inside(folder, arguments):
            killed.append(stage.name)
    finished = subprocess.run(
        command(arguments), env=environment(), capture_output=True, text=True, check=False
    )
    assert finished.returncode == 0, finished.stderr[-4000:]
    small_run = request.getfixturevalue(
        "small_run"
    )  # asked for late: another test process makes it meanwhile
    assert len(killed) >= 8, f"too few stages were really interrupted: {killed}"
    assert stage_digests(out) == stage_digests(small_run)
    assert len(stage_digests(out)) == len(STAGES) == len(list(small_run.rglob("done/stage.json")))
    left, right = contents(out), contents(small_run)
    different = sorted(name for name in {*left, *right} if left.get(name) != right.get(name))
    assert not different, different[:20]


def test_running_again_does_nothing_and_is_quick(small_run: Path):
    before = {p: p.stat().st_mtime_ns for p in small_run.rglob("*.parquet")}
    started = time.monotonic()
    again = subprocess.run(
        command(small_arguments(small_run, executor="process", workers=2)),
        env=environment(),
        capture_output=True,
        text=True,
        check=False,
    )
    assert again.returncode == 0, again.stderr
    assert time.monotonic() - started < 30
    assert again.stderr.count("done already") == len(STAGES)
    assert {p: p.stat().st_mtime_ns for p in small_run.rglob("*.parquet")} == before
