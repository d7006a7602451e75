"""`--detach`: a job behind each array goes on, on a Slurm of processes; the bytes of one process."""

from __future__ import annotations

import importlib.util
import json
import subprocess
import sys
from pathlib import Path

import pytest

from manifests.errors import PartialError, UsageError
from pipeline.__main__ import main
from pipeline.commands.run_status import status_of
from pipeline.engine.config_execute import ExecuteSection, SlurmSection
from pipeline.engine.executors import slurm_chain
from pipeline.engine.executors.slurm_chain import (
    FOLDER,
    STATE,
    again,
    check_detached,
    check_progress,
    read_chain,
)
from tests.pipeline import fake_slurm
from tests.pipeline.conftest import environment
from tests.pipeline.test_clusters import contents, local  # noqa: F401  (a fixture)

pytestmark = pytest.mark.skipif(
    importlib.util.find_spec("submitit") is None, reason="needs submitit: fairforge[slurm]"
)
DETACHED = {"executor": "slurm", "slurm": {"detach": True, "shards_per_task": 2, "array": 2}}


def submitted(out: Path, slurm: Path, **variables: str) -> subprocess.CompletedProcess[str]:
    """The command, which ends at once, and then all that it set going."""
    found = {**environment(), **fake_slurm.install(slurm), **variables}
    words = [sys.executable, "-m", "tests.pipeline.cluster_program", str(out), json.dumps(DETACHED)]
    made = subprocess.run(words, env=found, capture_output=True, text=True, check=False)
    fake_slurm.settle(slurm)
    return made


def test_a_chain_of_jobs_comes_to_the_same_bytes(tmp_path: Path, local: Path):  # noqa: F811
    """Three stages of six shards, four a time: two arrays a stage, with a job behind each."""
    out, slurm = tmp_path / "run", tmp_path / "slurm"
    made = submitted(out, slurm, FAIRFORGE_TEST_DIES="")
    assert made.returncode == 0, made.stderr[-4000:]
    assert "detached: job 2 goes on when array 1 of stage first has ended (6 shards were left)" in made.stderr
    assert contents(out) == contents(local)
    assert set(fake_slurm.states(slurm).values()) == {"COMPLETED"}
    assert len(fake_slurm.states(slurm)) == 12
    heads = [(slurm / "jobs" / f"{k}.sh").read_text() for k in range(1, 13)]
    assert ["--array=" in head or "dependency" not in head for head in heads] == [True, False] * 6
    assert "--dependency=afterany:1\n" in heads[1]
    assert read_chain(out)["state"] == "finished"


def test_a_shard_that_fails_for_good_ends_the_chain(tmp_path: Path):
    out, slurm = tmp_path / "run", tmp_path / "slurm"
    assert submitted(out, slurm, FAIRFORGE_TEST_DIES="", FAIRFORGE_TEST_FAILS="3").returncode == 0
    chain = read_chain(out)
    assert (chain["state"], chain["stage"]) == ("stopped", "second")
    assert "1 of 6 shards failed, the first (shard 3)" in chain["message"]
    assert len(list((out / "second" / "done").glob("0*.json"))) == 5
    assert len(fake_slurm.states(slurm)) == 8, "two arrays of each of two stages, with a job behind each"


def test_an_array_that_brings_nothing_ends_the_chain(tmp_path: Path):
    out, slurm = tmp_path / "run", tmp_path / "slurm"
    assert submitted(out, slurm, FAIRFORGE_TEST_DIES="always").returncode == 0
    chain = read_chain(out)
    assert (chain["state"], chain["stage"]) == ("stopped", "second")
    assert "finished none of the" in chain["message"]
    assert len(fake_slurm.states(slurm)) < 14


def waiting(root: Path, **more: object) -> None:
    (root / FOLDER).mkdir(parents=True)
    state = {"state": "waiting", "stage": "pair", "key": "k", "array": "7", "job": "8", "left": 3, **more}
    (root / FOLDER / STATE).write_text(json.dumps(state))


def test_only_the_job_behind_an_array_asks_for_progress(tmp_path: Path, monkeypatch):
    waiting(tmp_path)
    monkeypatch.setenv("SLURM_JOB_ID", "8")
    check_progress(tmp_path, "pair", "k", 2)
    check_progress(tmp_path, "pair", "another", 3)
    check_progress(tmp_path, "forge", "k", 3)
    with pytest.raises(PartialError, match="array 7 finished none of the 3 shards"):
        check_progress(tmp_path, "pair", "k", 3)
    monkeypatch.setenv("SLURM_JOB_ID", "9")
    check_progress(tmp_path, "pair", "k", 3)


def test_a_chain_that_goes_on_is_not_begun_twice(tmp_path: Path, monkeypatch):
    waiting(tmp_path)
    for name, value in fake_slurm.install(tmp_path / "slurm").items():
        monkeypatch.setenv(name, value)
    (tmp_path / "slurm" / "jobs" / "8.state").write_text("PENDING")
    execute = ExecuteSection(executor="slurm", slurm=SlurmSection(detach=True))
    said = "job 8 goes on when array 7 of stage pair has ended"
    with pytest.raises(UsageError, match=said), slurm_chain.followed(execute, tmp_path):
        raise AssertionError
    (tmp_path / "slurm" / "jobs" / "8.state").write_text("CANCELLED")
    with slurm_chain.followed(execute, tmp_path):
        pass
    assert read_chain(tmp_path)["state"] == "finished"


def test_the_same_command_goes_on_without_what_would_begin_it_anew():
    assert again(["run", "--fresh", "--detach"])[1:] == ["-m", "pipeline", "run", "--detach"]


@pytest.mark.parametrize(
    "execute", [{"executor": "local"}, {"executor": "slurm", "slurm": {"cluster": "local"}}]
)
def test_what_has_no_slurm_cannot_be_detached(execute):
    section = ExecuteSection.model_validate(execute)
    check_detached(section)
    alone = section.model_copy(update={"slurm": section.slurm.model_copy(update={"detach": True})})
    with pytest.raises(UsageError, match="is for jobs of Slurm"):
        check_detached(alone)


def test_dry_run_and_status_tell_of_the_chain(tmp_path: Path, monkeypatch, capsys, small_run: Path):
    for name, value in fake_slurm.install(tmp_path / "slurm").items():
        monkeypatch.setenv(name, value)
    words = ["run", "--out", str(tmp_path / "r"), "--executor", "slurm", "--detach", "--dry-run"]
    monkeypatch.setattr("sys.argv", ["fairforge", *words])
    assert main(words) == 0
    said = capsys.readouterr().out
    assert "#SBATCH --dependency=afterany:ARRAY" in said
    assert f"-m pipeline run --out {tmp_path / 'r'} --executor slurm --detach\n" in said
    assert not (tmp_path / "r").exists()
    assert main([*words[:-1], "--shard", "1/2"]) == 2
    assert "no use beside --shard" in capsys.readouterr().err


def test_status_has_the_chain(tmp_path: Path, small_run: Path):
    (tmp_path / "config.toml").write_bytes((small_run / "config.toml").read_bytes())
    waiting(tmp_path)
    values, text = status_of(tmp_path)
    assert "detached: job 8 goes on when array 7 of stage pair has ended (3 shards were left)" in text
    found = {value["stage"]: value.get("detached") for value in values}
    assert found["pair"] == {"state": "waiting", "array": "7", "job": "8", "left": 3, "message": None}
    assert found["sample"] is None
