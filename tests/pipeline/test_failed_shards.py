"""A shard that fails holds up no other; `status` shows it with its reason, `retry` does it again and nothing
else.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pyarrow as pa
import pytest

from manifests.errors import MissingError, PartialError, UsageError
from pipeline.__main__ import main
from pipeline.commands import retrying, run_status
from pipeline.commands.run_status import status_of, watch_status
from pipeline.engine import runner
from pipeline.engine.attempts import TOO_MANY, attempt_shard, attempted, failure_of, record_of, running
from pipeline.engine.config import Config
from pipeline.engine.executors import Executor
from pipeline.engine.progress import Reporter
from pipeline.engine.run_directory import RunDirectory
from pipeline.engine.shards import Task
from tests.pipeline import cluster_program
from tests.pipeline.cluster_program import NAMES, SHARDS, STAGES


@pytest.fixture(autouse=True)
def light(monkeypatch: pytest.MonkeyPatch) -> None:
    """The program with three light stages, quick ones."""
    monkeypatch.setattr(cluster_program, "PAUSE", 0.0)
    monkeypatch.setenv("FAIRFORGE_TEST_DIES", "")
    monkeypatch.setattr(runner, "all_stages", lambda: tuple(STAGES))
    for module in (retrying, run_status):
        monkeypatch.setattr(module, "stages_of", lambda config: list(STAGES))
    monkeypatch.setattr(run_status, "skipped", lambda config: {})


def go(out: Path, executor: str = "local") -> None:
    cluster_program.run(out, {"executor": executor})


def broken(out: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A run whose second stage has a shard with a bug."""
    monkeypatch.setenv("FAIRFORGE_TEST_FAILS", "4")
    with pytest.raises(PartialError):
        go(out)
    monkeypatch.setenv("FAIRFORGE_TEST_FAILS", "")


@pytest.mark.parametrize("executor", ["local", "process"])
def test_the_others_go_on_and_the_command_names_retry(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, executor: str
) -> None:
    monkeypatch.setenv("FAIRFORGE_TEST_FAILS", "1")
    with pytest.raises(PartialError, match=r"1 of 6 shards failed, .*\(shard 1\).*a bug of this") as caught:
        go(tmp_path, executor)
    assert caught.value.fix.endswith(f"fairforge retry --out {tmp_path}")
    done = sorted(path.stem for path in (tmp_path / "second" / "done").glob("0*.json"))
    assert done == [f"{k:05d}" for k in range(SHARDS) if k != 1]
    assert "RuntimeError: a bug of this shard" in (tmp_path / "second" / "logs" / "00001.log").read_text()
    assert not (tmp_path / "third").exists()


def test_status_and_retry(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    broken(tmp_path, monkeypatch)
    assert main(["status", "--out", str(tmp_path), "--json"]) == 0
    shards = {one["stage"]: one["shards"] for one in json.loads(capsys.readouterr().out)}
    assert shards["first"]["done"] == shards["first"]["total"] == SHARDS
    assert (shards["second"]["done"], shards["second"]["total"]) == (SHARDS - 1, SHARDS)
    assert shards["second"]["failed"] == [
        {"shard": 4, "error": "RuntimeError: a bug of this shard", "log": "logs/00004.log"}
    ]
    assert "shard 4 failed: RuntimeError: a bug of this shard" in status_of(tmp_path)[1]
    assert main(["retry", "--out", str(tmp_path), "--dry-run"]) == 0
    said = capsys.readouterr().out
    assert "a bug of this shard" in said
    assert f"log: {tmp_path}/second/logs/00004.log" in said
    before = {path: path.stat().st_mtime_ns for path in tmp_path.glob("*/done/0*.json")}
    assert main(["retry", "--out", str(tmp_path), "--quiet", "--executor", "local"]) == 0
    assert capsys.readouterr().out.startswith("done again: 1 shards of second; next: fairforge run")
    assert {path: path.stat().st_mtime_ns for path in before} == before
    assert (tmp_path / "second" / "done" / "stage.json").is_file()
    assert not [path for name in ("failed", "running", "logs") for path in tmp_path.glob(f"second/{name}")]
    assert main(["retry", "--out", str(tmp_path)]) == 0
    assert capsys.readouterr().out == f"no shard of {tmp_path} failed\n"
    go(tmp_path)


def test_what_fails_again_ends_with_5(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    broken(tmp_path, monkeypatch)
    monkeypatch.setenv("FAIRFORGE_TEST_FAILS", "4")
    assert main(["retry", "--out", str(tmp_path), "--executor", "local"]) == 5
    assert "fairforge retry --out" in capsys.readouterr().err


def test_retry_leaves_what_never_ran_to_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    broken(tmp_path, monkeypatch)
    (tmp_path / "second" / "done" / "00002.json").unlink()
    run = RunDirectory(tmp_path, Config.model_validate({"execute": {"executor": "local"}}))
    with pytest.raises(PartialError, match=r"1 of 6 shards are left$") as caught:
        retrying.retry_failed(run, Reporter(quiet=True), [])
    assert caught.value.fix == f"fairforge run --out {tmp_path}"


def test_retry_of_something_else_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    broken(tmp_path, monkeypatch)
    changed = RunDirectory(tmp_path, Config.model_validate({"run": {"seed": 99}}))
    with pytest.raises(UsageError, match="was begun with something else"):
        retrying.failures_of(changed)
    with pytest.raises(MissingError, match="holds no run"):
        retrying.failures_of(RunDirectory(tmp_path / "none", Config()))


def always(task: Task) -> pa.Table:
    raise RuntimeError("always")


def test_where_all_fail_the_rest_is_left(tmp_path: Path) -> None:
    tasks = [Task("s", k, tmp_path, "key", always) for k in range(40)]
    with Executor("local", 1) as executor:
        assert len(list(attempted(executor, tasks))) == TOO_MANY


def test_a_failure_of_an_earlier_key_is_none(tmp_path: Path) -> None:
    task = Task("s", 3, tmp_path, "key", always)
    assert attempt_shard(task).error == "RuntimeError: always"
    assert failure_of(task)["error"] == "RuntimeError: always"
    assert failure_of(Task("s", 3, tmp_path, "other", always)) == {}


def look_at_itself(task: Task) -> pa.Table:
    return pa.table({"running": [len(running(task.folder))]})


def test_a_shard_shows_while_it_is_done_and_not_when_its_process_is_gone(tmp_path: Path) -> None:
    task = Task("s", 7, tmp_path, "key", look_at_itself)
    attempt_shard(task)
    assert pa.parquet.read_table(task.part).column("running").to_pylist() == [1]
    assert running(tmp_path) == []
    gone = subprocess.run(
        [sys.executable, "-c", "import os; print(os.getpid())"], capture_output=True, check=True
    )
    path = record_of(task, "running")
    value = {"host": os.uname().nodename, "pid": int(gone.stdout), "started": 1.0}
    for text in (json.dumps(value), "[]", "{", json.dumps({"started": "x"})):
        path.write_text(text)
        assert running(tmp_path) == []
    path.write_text(json.dumps({"host": "elsewhere", "pid": 1, "started": 1.0}))
    assert [one["shard"] for one in running(tmp_path)] == [7]
    os.utime(path, (1, 1))
    assert running(tmp_path) == []


def test_watching_ends_with_the_run(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    go(tmp_path)
    capsys.readouterr()
    assert main(["status", "--out", str(tmp_path), "--watch", "--json"]) == 0
    (line,) = capsys.readouterr().out.splitlines()
    assert [one["state"] for one in json.loads(line)] == ["finished"] * len(NAMES)
    seen: list[str] = []

    def show(values: list[dict], text: str) -> None:
        seen.append(text)
        if len(seen) == 2:
            go(tmp_path)

    for path in (tmp_path / "third").rglob("*.json"):
        path.unlink()
    watch_status(tmp_path, 0.01, show)
    assert len(seen) == 3
    assert "third     started" in seen[0]
    assert "third     finished" in seen[2]


def test_logs_hold_what_shards_print(tmp_path: Path) -> None:
    task = STAGES[0].tasks(
        type("Where", (), {"run": RunDirectory(tmp_path, Config())})(),
        "key",  # type: ignore[arg-type]
    )[0]
    attempt_shard(task, logged=True)
    text = (tmp_path / "first" / "logs" / "00000.log").read_text()
    assert "begun\nsaid by shard 0\n" in text
    assert text.rstrip().endswith(" s")
