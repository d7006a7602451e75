"""Shards: whole or not at all, redone when their key, bytes or files change; one table whatever the
executor.
"""

import os
import signal
import subprocess
import sys
import time
from dataclasses import FrozenInstanceError, replace
from pathlib import Path

import pyarrow as pa
import pytest

from manifests import atomic
from manifests.atomic import write_bytes
from manifests.errors import PartialError, UsageError
from pipeline.engine.executors import Executor
from pipeline.engine.shards import Task, do_shard, drop_leftovers, not_done, of_host, read_shards


def make(task: Task) -> pa.Table:
    names = [f"images/{task.index}-{i}.bin" for i in range(3)]
    for name in names:
        write_bytes(task.folder / name, name.encode())
    return pa.table({"path": names, "pid": [os.getpid()] * 3})


def explode(task: Task) -> pa.Table:
    if task.index == 1:
        raise UsageError("shard 1", "is odd", "leave it")
    return make(task)


def die(task: Task) -> pa.Table:
    os.kill(os.getpid(), signal.SIGKILL)
    return make(task)


def tasks_in(folder: Path, count: int = 4, key: str = "k", call=make) -> list[Task]:
    return [Task("s", index, folder, key, call) for index in range(count)]


def test_done_means_key_bytes_and_files(tmp_path: Path):
    task = tasks_in(tmp_path)[0]
    assert not_done(task) is not None
    do_shard(task)
    assert not_done(task) is None
    assert not_done(replace(task, key="other")) is not None
    (tmp_path / "images/0-1.bin").unlink()
    assert not_done(task) is not None
    do_shard(task)
    task.part.write_bytes(task.part.read_bytes()[:-10])
    assert not_done(task) is not None
    do_shard(task)
    task.marker.write_text('{"key": ')
    assert not_done(task) is not None


def test_interrupted_write_leaves_nothing_half(tmp_path: Path, monkeypatch):
    task = tasks_in(tmp_path)[0]

    def full(_fd: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(atomic, "_fsync", full)
    with pytest.raises(PartialError, match="disk is full"):
        do_shard(task)
    assert not task.part.exists()
    assert not task.marker.exists()
    assert not [p for p in tmp_path.rglob("*") if p.is_file()]
    monkeypatch.undo()
    do_shard(task)
    assert not_done(task) is None


@pytest.mark.parametrize(("name", "workers"), [("local", 1), ("process", 2)])
def test_executors_do_every_task(tmp_path: Path, name: str, workers: int):
    tasks = tasks_in(tmp_path, 5)
    with Executor(name, workers) as executor:
        assert sorted(executor.map(do_shard, tasks)) == [(i, 3) for i in range(5)]
    table = read_shards(tmp_path, 5)
    assert table.num_rows == 15
    pids = set(table.column("pid").to_pylist())
    assert (os.getpid() in pids) == (name == "local")


@pytest.mark.parametrize(("name", "workers"), [("local", 1), ("process", 2)])
def test_a_user_error_comes_through_and_the_rest_is_kept(tmp_path: Path, name: str, workers: int):
    tasks = tasks_in(tmp_path, 3, call=explode)
    with Executor(name, workers) as executor, pytest.raises(UsageError, match="is odd") as caught:
        list(executor.map(do_shard, tasks))
    assert caught.value.fix == "leave it"
    assert not_done(tasks[0]) is None


def test_a_killed_worker_is_a_partial_error(tmp_path: Path):
    with Executor("process", 2) as executor, pytest.raises(PartialError, match="was killed"):
        list(executor.map(do_shard, tasks_in(tmp_path, 3, call=die)))


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGINT])
def test_workers_leave_when_their_parent_is_killed_or_interrupted(tmp_path: Path, how: signal.Signals):
    """An interrupt does not wait for shards that would take a minute."""
    script = (
        "import time\nfrom pathlib import Path\nfrom pipeline.engine.executors import Executor\n"
        "def slow(path):\n    import os\n    Path(path).write_text(str(os.getpid()))\n    time.sleep(60)\n"
        "if __name__ == '__main__':\n    import signal, sys\n"
        "    signal.signal(signal.SIGINT, signal.default_int_handler)\n"  # a background shell has it ignored
        "    with Executor('process', 2) as e:\n"
        "        list(e.map(slow, [sys.argv[1] + '/a', sys.argv[1] + '/b']))\n"
    )
    file = tmp_path / "parent.py"
    file.write_text(script)
    parent = subprocess.Popen([sys.executable, str(file), str(tmp_path)], stderr=subprocess.DEVNULL)
    names = [tmp_path / "a", tmp_path / "b"]
    deadline = time.monotonic() + 60
    while not all(n.exists() and n.read_text() for n in names) and time.monotonic() < deadline:
        time.sleep(0.1)
    pids = [int(n.read_text()) for n in names]
    parent.send_signal(how)
    assert parent.wait(timeout=20) != 0
    deadline = time.monotonic() + 10
    while any(Path(f"/proc/{p}").exists() for p in pids) and time.monotonic() < deadline:
        time.sleep(0.1)
    assert not any(Path(f"/proc/{p}").exists() for p in pids)


def test_leftovers_of_a_larger_plan_go(tmp_path: Path):
    for task in tasks_in(tmp_path, 4):
        do_shard(task)
    drop_leftovers(tmp_path, 2)
    left = sorted(p.relative_to(tmp_path).as_posix() for p in tmp_path.rglob("*") if p.is_file())
    assert [name for name in left if name.startswith("part")] == ["part-00000.parquet", "part-00001.parquet"]
    assert not [name for name in left if name.startswith("images/2") or name.startswith("images/3")]


def test_hosts_share_all_tasks_without_overlap(tmp_path: Path):
    tasks = tasks_in(tmp_path, 7)
    parts = [[t.index for t in of_host(tasks, f"{i}/3")] for i in (1, 2, 3)]
    assert sorted(index for part in parts for index in part) == list(range(7))
    for bad in ("0/3", "4/3", "x", "1/", "/3"):
        with pytest.raises(UsageError, match="i/n"):
            of_host(tasks, bad)


def test_a_task_cannot_be_changed_under_its_key(tmp_path: Path):
    task = Task("sample", 0, tmp_path, "key", make)
    with pytest.raises(FrozenInstanceError):
        task.index = 1
