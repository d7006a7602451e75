"""Attempts at shards: what is being done where, what failed and with which traceback, and the log of each.

Beside `STAGE/done/00007.json` a stage's folder may have `running/00007.json` (of a worker that is at it: its
time of change is renewed every few seconds), `failed/00007.json` (why the last attempt failed) and
`logs/00007.log` (what the shard printed on a cluster, or the traceback). A failed shard holds up no other:
the rest is done, then the command ends and names `retry`.
"""

from __future__ import annotations

import os
import re
import shutil
import socket
import sys
import threading
import time
import traceback
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext, suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from manifests.atomic import make_folder, unlinked, write_json
from manifests.errors import PartialError, UserError
from manifests.escaping import one_line
from pipeline.engine.markers import remove_marker
from pipeline.engine.run_directory import read_json
from pipeline.engine.shards import Task, do_shard

if TYPE_CHECKING:
    from pipeline.engine.executors import Executor

BEAT = 5.0
"""Seconds between two signs of life of a shard that is being done."""
FRESH = 30.0
"""Seconds after which a shard without one counts as left behind."""
TOO_MANY = 8
"""Shards that fail before any is done: the rest would fail too, and are left."""
RUNNING, FAILED, LOGS = "running", "failed", "logs"
NUMBER = re.compile(r"\d{5,9}\.json")
TAIL = 4000
"""Characters of a traceback that a record keeps: its end."""


@dataclass(frozen=True)
class Attempt:
    """What an attempt came to: the rows of the shard, or why it failed (one line; empty where it did not)."""

    index: int
    rows: int = 0
    error: str = ""


def record_of(task: Task, kind: str) -> Path:
    """The record of a shard that is running or failed."""
    return task.folder / kind / f"{task.index:05d}.json"


def log_of(task: Task) -> Path:
    """The log of a shard."""
    return task.folder / LOGS / f"{task.index:05d}.log"


def here() -> dict[str, Any]:
    """Who is asking: host and process."""
    return {"host": socket.gethostname(), "pid": os.getpid()}


@contextmanager
def _shown(task: Task, started: float) -> Iterator[None]:
    """A record of a shard that is being done, until this ends."""
    path, ended = record_of(task, RUNNING), threading.Event()
    if path.is_dir():
        remove_marker(path)
    write_json(path, {**here(), "stage": task.stage, "shard": task.index, "started": round(started, 3)})

    def beat() -> None:
        while not ended.wait(BEAT):
            with suppress(OSError):
                os.utime(path)

    thread = threading.Thread(target=beat, daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()
        with suppress(OSError):
            path.unlink(missing_ok=True)


def _append(path: Path, text: str) -> None:
    make_folder(path.parent)
    with os.fdopen(
        unlinked(str(path), os.O_WRONLY | os.O_CREAT | os.O_APPEND), "w", encoding="utf-8"
    ) as file:
        file.write(text)


@contextmanager
def _output_in(path: Path) -> Iterator[None]:
    """What this process prints, and what code below Python prints, goes to the end of a file until this
    ends.
    """
    make_folder(path.parent)
    file = unlinked(str(path), os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    sys.stdout.flush()
    sys.stderr.flush()
    before = [os.dup(number) for number in (1, 2)]
    try:
        for number in (1, 2):
            os.dup2(file, number)
        yield
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        for number, kept in zip((1, 2), before, strict=True):
            os.dup2(kept, number)
            os.close(kept)
        os.close(file)


def _line(task: Task, text: str) -> str:
    where = here()
    clock = time.strftime("%Y-%m-%d %H:%M:%S")
    return f"{clock} {where['host']} {where['pid']}: {task.stage}, shard {task.index}: {text}\n"


def record_failure(task: Task, error: str, trace: str = "", **more: Any) -> Attempt:
    """Keep why a shard failed, with its log; returns the attempt."""
    error = one_line(error)[:TAIL]
    remove_marker(record_of(task, FAILED))
    write_json(
        record_of(task, FAILED),
        {
            **here(),
            **more,
            "stage": task.stage,
            "shard": task.index,
            "key": task.shard_key,
            "error": error,
            "traceback": trace[-TAIL:],
            "log": f"{LOGS}/{task.index:05d}.log",
        },
    )
    _append(log_of(task), trace + _line(task, f"failed: {error}"))
    return Attempt(task.index, error=error)


def attempt_shard(task: Task, *, logged: bool = False) -> Attempt:
    """Do one shard; an error that nobody can mend is kept and told, and raised where a user can. Runs in a
    worker.

    Args:
        task: the shard.
        logged: whether what the worker prints goes to the shard's log.

    Raises:
        UserError: whatever the stage raises.
    """
    started = time.time()
    if logged:
        _append(log_of(task), _line(task, "begun"))
    try:
        with _shown(task, started), _output_in(log_of(task)) if logged else nullcontext():
            index, rows = do_shard(task)
    except Exception as error:
        text = str(error) if isinstance(error, UserError) else f"{type(error).__name__}: {error}"
        found = record_failure(task, text, traceback.format_exc(), seconds=round(time.time() - started, 3))
        if isinstance(error, UserError):
            raise
        return found
    except BaseException:
        if logged:
            _append(log_of(task), _line(task, "stopped"))
        raise
    with suppress(OSError):
        record_of(task, FAILED).unlink(missing_ok=True)
        if logged:
            _append(log_of(task), _line(task, f"done: {rows} rows in {time.time() - started:.1f} s"))
        else:
            log_of(task).unlink(missing_ok=True)
    return Attempt(index, rows)


def lost_shard(task: Task, why: str) -> Attempt:
    """A shard whose workers died again and again."""
    return record_failure(task, why)


def attempted(executor: Executor, tasks: Sequence[Task]) -> Iterator[Attempt]:
    """The attempts at shards as they end; after `TOO_MANY` failures and no success the rest is left."""
    done = failed = 0
    results = executor.map(partial(attempt_shard, logged=executor.remote), tasks, lost_shard)
    for one in results:
        done, failed = done + (not one.error), failed + bool(one.error)
        yield one
        if failed >= TOO_MANY and not done:
            break


def failure_of(task: Task) -> dict[str, Any]:
    """The record of a shard's failure, of this key; empty where it has none."""
    found = read_json(record_of(task, FAILED))
    return found if found.get("key") == task.shard_key and not task.marker.is_file() else {}


def check_failed(tasks: Sequence[Task], again: str) -> None:
    """Whether any of these shards failed.

    Args:
        tasks: the shards.
        again: what does failed ones again.

    Raises:
        PartialError: some did; it names `again`.
    """
    found = [(task, one) for task in tasks if (one := failure_of(task))]
    if found:
        task, first = found[0]
        raise PartialError(
            f"stage {task.stage}",
            f"{len(found)} of {len(tasks)} shards failed, the first (shard {task.index}) of: "
            f"{first['error']}",
            f"see {log_of(task)}; when it is mended: {again}",
        )


def drop_attempts(folder: Path) -> None:
    """Remove what a finished stage needs no more: records of running and failed shards, and folders that are
    empty.
    """
    for kind in (RUNNING, FAILED):
        if not (folder / kind).is_symlink():
            shutil.rmtree(folder / kind, ignore_errors=True)
    with suppress(OSError):
        (folder / LOGS).rmdir()


def note_count(folder: Path, count: int) -> None:
    """Keep how many shards a stage has, for `fairforge status`."""
    write_json(folder / "done" / "shards.json", {"shards": count})


def count_of(folder: Path) -> int:
    """How many shards a stage has, as far as that was noted; 0 otherwise."""
    count = read_json(folder / "done" / "shards.json").get("shards")
    return count if type(count) is int and count > 0 else 0


def _records(folder: Path, kind: str) -> Iterator[tuple[Path, dict[str, Any]]]:
    for path in sorted(folder.glob(f"{kind}/*.json")):
        if NUMBER.fullmatch(path.name) and (value := read_json(path)):
            yield path, {**value, "shard": int(path.stem)}


def running(folder: Path) -> list[dict[str, Any]]:
    """The shards of a stage that are being done: `shard`, `host`, `pid`, `started`, `seconds`."""
    found = []
    for path, value in _records(folder, RUNNING):
        with suppress(OSError):  # it ended just now
            started = value.get("started")
            if (
                time.time() - path.stat().st_mtime < FRESH
                and _there(value)
                and isinstance(started, int | float)
            ):
                found.append({**value, "seconds": round(max(0.0, time.time() - started), 1)})
    return found


def _there(value: dict[str, Any]) -> bool:
    """Whether the process of a record may still be there: of another host nobody knows."""
    if value.get("host") != socket.gethostname() or type(value.get("pid")) is not int:
        return True
    return Path(f"/proc/{value['pid']}").exists() or not Path("/proc/self").exists()


def failed(folder: Path) -> list[dict[str, Any]]:
    """The shards of a stage whose last attempt failed: `shard`, `error`, `traceback`, `log`, `host`,
    `pid`.
    """
    done = {int(path.stem) for path in folder.glob("done/*.json") if NUMBER.fullmatch(path.name)}
    return [value for _, value in _records(folder, FAILED) if value["shard"] not in done]
