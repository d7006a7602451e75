"""Executors by name: what they need, how shards are dealt to jobs and GPUs to workers, what a dry run
prints.
"""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from pydantic import ValidationError

from manifests.errors import MissingError, PartialError, UsageError
from pipeline.__main__ import main
from pipeline.engine.config import Config
from pipeline.engine.config_execute import ExecuteSection, SlurmSection, minutes
from pipeline.engine.executors import Executor, check_place
from pipeline.engine.executors.process import gpu_of, visible_gpus
from pipeline.engine.executors.registry import EXECUTORS
from pipeline.engine.executors.settled import WorkerError, settle
from pipeline.engine.executors.slurm_pool import batches_of
from pipeline.engine.executors.slurm_script import job_parameters

needs_submitit = pytest.mark.skipif(
    importlib.util.find_spec("submitit") is None, reason="needs submitit: fairforge[slurm]"
)


def environment_of(task: int) -> tuple[str, str]:
    return os.environ.get("CUDA_VISIBLE_DEVICES", ""), os.environ.get("OMP_NUM_THREADS", "")


def test_executors_are_a_registry_that_names_their_extras(monkeypatch: pytest.MonkeyPatch) -> None:
    assert {"local", "process", "ray", "slurm"} <= set(EXECUTORS.names())
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    for name, extra in (("ray", "ray"), ("slurm", "slurm")):
        with pytest.raises(MissingError, match="which is not installed") as caught:
            Executor(name, 1)
        assert caught.value.fix == f"pip install 'fairforge[{extra}]'"


def test_an_unknown_executor_is_refused_with_the_nearest() -> None:
    with pytest.raises(ValidationError, match="did you mean process"):
        Config.model_validate({"execute": {"executor": "proces"}})


def test_a_device_is_looked_for_where_the_work_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 0)
    check_place(ExecuteSection(executor="ray", device="cuda"))
    with pytest.raises(MissingError):
        check_place(ExecuteSection(executor="process", device="cuda"))


@pytest.mark.parametrize(
    ("text", "wanted"),
    [("90", 90), ("90:00", 90), ("0:30", 1), ("4:00:00", 240), ("1-02:00:30", 1561)],
)
def test_times_of_slurm(text: str, wanted: int) -> None:
    assert minutes(text) == wanted
    assert SlurmSection(time=text).time == text


@pytest.mark.parametrize("text", ["", "0", "00:00", "1-12:00", "4h", "-5", "1:2:3:4"])
def test_what_is_no_time_of_slurm(text: str) -> None:
    with pytest.raises(ValidationError):
        SlurmSection(time=text)


def test_shards_are_dealt_to_at_most_a_thousand_jobs() -> None:
    slurm = SlurmSection()
    sizes = [len(batch) for batch in batches_of(range(2500), 4, slurm, local=False)]
    assert len(sizes) <= 1000
    assert sum(sizes) == 2500
    assert max(sizes) == 3
    assert [len(batch) for batch in batches_of(range(7), 4, slurm, local=False)] == [1] * 7
    given = SlurmSection(shards_per_task=3)
    assert [len(batch) for batch in batches_of(range(7), 4, given, local=False)] == [3, 3, 1]
    assert [len(batch) for batch in batches_of(range(7), 2, slurm, local=True)] == [4, 3]
    with pytest.raises(ValidationError):
        SlurmSection(array=1001)


@needs_submitit
def test_a_dry_run_prints_what_sbatch_is_given(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["run", "--out", str(tmp_path / "r"), "--executor", "slurm", "--dry-run", "--to", "pair"]
    limits = ["--partition", "gpu", "--time", "4:00:00", "--gres", "gpu:1", "--workers", "50"]
    assert main([*words, *limits, "--set", 'execute.slurm.more={"mail-type"="END"}']) == 0
    lines = capsys.readouterr().out.split("\n")
    for line in (
        "#!/bin/bash",
        "#SBATCH --array=0-999%50",
        "#SBATCH --gres=gpu:1",
        "#SBATCH --mail-type=END",
        "#SBATCH --partition=gpu",
        "#SBATCH --requeue",
        "#SBATCH --signal=USR2@90",
        "#SBATCH --time=240",
        "export OMP_NUM_THREADS=1",
    ):
        assert line in lines, line
    assert lines[0].startswith("cells ")
    assert not (tmp_path / "r").exists()


def test_what_was_not_given_is_left_to_slurm() -> None:
    given = job_parameters(SlurmSection(memory_gb=2.5), "n", 0)
    assert given["mem"] == "2500M"
    assert not {"partition", "gres", "account", "qos", "constraint"} & set(given)


@needs_submitit
def test_slurm_without_sbatch_is_refused_where_it_was_asked_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    execute = ExecuteSection(slurm=SlurmSection(cluster="slurm"))
    with Executor("slurm", 1, execute, tmp_path) as executor, pytest.raises(UsageError, match="no `sbatch`"):
        list(executor.map(environment_of, [1, 2]))


def test_each_worker_has_a_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 3)
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    assert visible_gpus("cuda") == ["0", "1", "2"]
    assert visible_gpus("cpu") == visible_gpus("cuda:1") == []
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "4, GPU-7,5")
    assert visible_gpus("cuda") == ["4", "GPU-7", "5"]
    assert [gpu_of(worker, ["4", "7"]) for worker in range(4)] == ["4", "7", "4", "7"]


def test_worker_processes_see_one_gpu_each(monkeypatch: pytest.MonkeyPatch) -> None:
    """Three processes of a machine with two GPUs, as far as torch says."""
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "4,7")
    with Executor("process", 2, ExecuteSection(device="cuda")) as executor:
        seen = set(executor.map(environment_of, range(40)))
    assert seen <= {("4", "1"), ("7", "1")}
    assert seen


def test_errors_travel_as_they_are_or_as_text() -> None:
    def stop(task: int) -> None:
        raise PartialError("a", "b", "c")

    def odd(task: int) -> None:
        raise type("Odd", (RuntimeError,), {})("of a class that nobody else knows")

    error = settle(stop, 1).error
    assert isinstance(error, PartialError)
    assert error.fix == "c"
    with pytest.raises(WorkerError, match="of a class that nobody else knows"):
        settle(odd, 1).result()
    assert settle(abs, -3).result() == 3


@needs_submitit
def test_handlers_of_others_stay_open_when_submitit_comes() -> None:
    program = """
import io, logging

class Handler(logging.StreamHandler):
    def close(self):
        self.stream.close()

handler = Handler(io.StringIO())
logging.getLogger().addHandler(handler)
from pipeline.engine.executors.slurm_script import import_submitit
assert import_submitit().__name__ == "submitit"
assert not handler.stream.closed
"""
    subprocess.run([sys.executable, "-c", program], check=True)
