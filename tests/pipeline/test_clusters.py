"""Ray on a cluster of 3 nodes, and jobs of submitit: the bytes of one process, whatever is killed on the
way.
"""

from __future__ import annotations

import importlib.util
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from benchmarks.cluster_nodes import Nodes, ray_processes
from manifests.atomic import digest_file
from pipeline.engine.attempts import running
from tests.pipeline.cluster_program import NAMES, SHARDS
from tests.pipeline.conftest import command, environment, small_arguments

needs_ray = pytest.mark.skipif(importlib.util.find_spec("ray") is None, reason="needs ray: fairforge[ray]")
needs_submitit = pytest.mark.skipif(
    importlib.util.find_spec("submitit") is None, reason="needs submitit: fairforge[slurm]"
)
JOBS = {"executor": "slurm", "cluster_workers": 2, "slurm": {"cluster": "local"}}


def program(out: Path, execute: dict, **variables: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "tests.pipeline.cluster_program", str(out), json.dumps(execute)],
        env={**environment(), **variables},
        stderr=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )


def ended(process: subprocess.Popen[str]) -> tuple[int, str]:
    said, errors = process.communicate(timeout=300)
    assert said == "", "stdout belongs to results"
    return process.returncode, errors


def contents(out: Path, names: tuple[str, ...] = NAMES) -> dict[str, str]:
    return {
        path.relative_to(out).as_posix(): digest_file(path)
        for name in names
        for path in sorted((out / name).rglob("*"))
        if path.is_file() and path.relative_to(out).parts[1] != "logs"
    }


@pytest.fixture(scope="module")
def local(tmp_path_factory) -> Path:
    """The light run in one process."""
    out = tmp_path_factory.mktemp("local") / "run"
    process = program(out, {"executor": "local"}, FAIRFORGE_TEST_DIES="")
    assert process.wait(timeout=300) == 0, process.communicate()[1]
    process.communicate()
    return out


def worker_at(folder: Path, process: subprocess.Popen[str]) -> int:
    """The process that is at a shard of a stage."""
    while process.poll() is None:
        if found := running(folder):
            return int(found[0]["pid"])
        time.sleep(0.01)
    raise AssertionError(f"ended before {folder.name} began: {process.communicate()[1][-3000:]}")


@pytest.fixture(scope="module")
def nodes() -> Iterator[Nodes]:
    with Nodes(3) as found:
        keeper = found.process
        yield found
    assert ray_processes(keeper) == [], "processes of the cluster are left"


@needs_ray
def test_ray_on_three_nodes_of_which_two_are_killed(tmp_path: Path, nodes: Nodes, local: Path):
    """The second stage loses a worker of its own besides."""
    out = tmp_path / "run"
    process = program(out, {"executor": "ray", "ray": {"address": nodes.address}})
    for stage in NAMES[:2]:
        nodes.kill(worker_at(out / stage, process))
    code, errors = ended(process)
    assert code == 0, errors[-4000:]
    assert "a Ray worker was lost" in errors
    assert contents(out) == contents(local)
    log = (out / "first" / "logs" / "00000.log").read_text()
    assert "first, shard 0: begun" in log
    assert "said by shard 0" in log
    assert "done: 1 rows in" in log
    assert not list(out.glob(".shared-*"))


@needs_ray
def test_ray_runs_a_real_stage_to_the_same_bytes(tmp_path: Path, nodes: Nodes, small_run: Path):
    out = tmp_path / "run"
    shutil.copytree(small_run, out)
    shutil.rmtree(out / "dataset")
    words = small_arguments(out, executor="ray", workers=2)
    made = subprocess.run(
        command([*words, "--from", "pair", "--to", "pair", "--ray-address", nodes.address]),
        env=environment(),
        capture_output=True,
        text=True,
        check=False,
    )
    assert made.returncode == 0, made.stderr[-4000:]
    assert made.stdout == f"{out}/dataset/manifest.parquet\n"
    assert contents(out, ("dataset",)) == contents(small_run, ("dataset",))


@needs_ray
def test_a_run_folder_that_nodes_do_not_see_is_refused(tmp_path: Path, nodes: Nodes):
    """The command sees another file system at that place than the nodes, as on a cluster without a shared
    one.
    """
    out = tmp_path / "apart"
    out.mkdir()
    mount = ["unshare", "--mount", "sh", "-c", 'mount -t tmpfs none "$0" && exec "$@"', str(out)]
    if subprocess.run([*mount, "true"], capture_output=True, check=False).returncode:
        pytest.skip("no mount namespaces here")
    execute = {"executor": "ray", "ray": {"address": nodes.address}}
    words = [sys.executable, "-m", "tests.pipeline.cluster_program", str(out), json.dumps(execute)]
    made = subprocess.run([*mount, *words], env=environment(), capture_output=True, text=True, check=False)
    assert made.returncode == 2, made.stderr[-4000:]
    assert f"run folder {out}: is not there, or is another one, on the Ray node " in made.stderr
    assert list(out.iterdir()) == []


@needs_submitit
def test_jobs_that_are_preempted_go_on(tmp_path: Path, local: Path):
    """SIGUSR1 in the first stage, a worker that dies in the second, SIGTERM in the third."""
    out = tmp_path / "run"
    process = program(out, JOBS)
    for stage, signal_ in zip(NAMES, (signal.SIGUSR1, None, signal.SIGTERM), strict=True):
        worker = worker_at(out / stage, process)
        if signal_ is not None:
            os.kill(worker, signal_)
    code, errors = ended(process)
    assert code == 0, errors[-4000:]
    assert contents(out) == contents(local)
    logs = "".join(path.read_text() for found in ("jobs/*/*.out", "*/logs/*.log") for path in out.glob(found))
    assert logs.count("Requeued job") == 2
    assert logs.count("shard 0: stopped") + logs.count("shard 3: stopped") == 2
    assert "said by shard 0" in (out / "first" / "logs" / "00000.log").read_text()
    assert not [path for path in out.rglob("*.tmp") if "jobs" not in path.parts]


@needs_submitit
def test_a_shard_whose_jobs_always_die_is_given_up_and_the_others_go_on(tmp_path: Path):
    out = tmp_path / "run"
    execute = {**JOBS, "slurm": {"cluster": "local", "retries": 1}}
    code, errors = ended(program(out, execute, FAIRFORGE_TEST_DIES="always"))
    assert code == 5
    assert "its job was lost 2 times" in errors
    assert f"fix: see {out}/second/logs/00002.log" in errors
    assert "fairforge retry" in errors
    done = {path.stem for path in (out / "second" / "done").glob("0*.json")}
    assert {"00000", "00001"} <= done < {f"{k:05d}" for k in range(SHARDS)}


@needs_submitit
def test_jobs_run_a_real_stage_to_the_same_bytes(tmp_path: Path, small_run: Path):
    out = tmp_path / "run"
    shutil.copytree(small_run, out)
    shutil.rmtree(out / "dataset")
    words = small_arguments(out, executor="slurm", workers=2)
    made = subprocess.run(
        command([*words, "--from", "pair", "--to", "pair", "--slurm-cluster", "local"]),
        env=environment(),
        capture_output=True,
        text=True,
        check=False,
    )
    assert made.returncode == 0, made.stderr[-4000:]
    assert made.stdout == f"{out}/dataset/manifest.parquet\n"
    assert contents(out, ("dataset",)) == contents(small_run, ("dataset",))


@needs_submitit
def test_an_interrupted_command_takes_its_jobs_along(tmp_path: Path):
    out = tmp_path / "run"
    process = program(out, JOBS, FAIRFORGE_TEST_DIES="")
    worker = worker_at(out / "first", process)
    process.kill()
    process.communicate()
    deadline = time.monotonic() + 20
    while Path(f"/proc/{worker}").exists() and time.monotonic() < deadline:
        time.sleep(0.1)
    with suppress(ProcessLookupError):
        os.kill(worker, 0)
        raise AssertionError("the job goes on without its command")
