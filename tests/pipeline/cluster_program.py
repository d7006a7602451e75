"""A run of light stages for tests of executors: `python -m tests.pipeline.cluster_program OUT EXECUTE
[fresh]`.

EXECUTE is the section `execute` as JSON. Shards wait a little, write a file, and read the shards of the
stage before. One shard of the second stage kills its worker the first time, as the kernel does when memory
runs out; with `FAIRFORGE_TEST_DIES` = always, always; with `FAIRFORGE_TEST_FAILS` the shard of that number
has a bug.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa

from manifests.atomic import digest_file, write_bytes
from manifests.errors import HandedOver, UserError
from manifests.store import write_table
from pipeline.engine import runner
from pipeline.engine.config import Config
from pipeline.engine.executors import slurm_chain
from pipeline.engine.progress import Reporter
from pipeline.engine.run_directory import RunDirectory
from pipeline.engine.shards import Task, read_shards
from pipeline.engine.stage import Context, Outcome, Stage

SHARDS = 6
NAMES = ("first", "second", "third")
PAUSE = 0.3


def work(task: Task) -> pa.Table:
    """One shard: a file whose bytes depend on the shard before it."""
    given = task.payload
    if given["fails"] == str(task.index):
        raise RuntimeError("a bug of this shard")
    died = task.folder.parent / "died"
    if given["dies"] and task.index == 2 and (given["dies"] == "always" or not died.exists()):
        died.write_text("once")
        os.kill(os.getpid(), signal.SIGKILL)
    before = digest_file(Path(given["before"]) / f"part-{task.index:05d}.parquet") if given["before"] else ""
    time.sleep(PAUSE)
    name = f"files/{task.index}.bin"
    write_bytes(task.folder / name, f"{task.stage} {task.index} {before}".encode() * 100)
    os.write(1, f"said by shard {task.index}\n".encode())
    return pa.table({"path": [name], "threads": [os.environ.get("OMP_NUM_THREADS", "")]})


class Light(Stage):
    """A stage of `SHARDS` shards."""

    def __init__(self, name: str, before: str) -> None:
        super().__init__()
        self.name = name  # type: ignore[misc]
        self.needs = (before,) if before else ()  # type: ignore[misc]

    def config(self, run: RunDirectory) -> dict[str, Any]:
        return {}

    def tasks(self, context: Context, key: str) -> list[Task]:
        run = context.run
        payload = {
            "before": str(run.folder(self.needs[0])) if self.needs else "",
            "fails": os.environ.get("FAIRFORGE_TEST_FAILS", "") if self.name == "second" else "",
            "dies": os.environ.get("FAIRFORGE_TEST_DIES", "once") if self.name == "second" else "",
        }
        return [Task(self.name, k, self.folder(run), key, work, payload) for k in range(SHARDS)]

    def finish(self, context: Context, tasks: Sequence[Task]) -> Outcome:
        table = read_shards(self.folder(context.run), len(tasks))
        write_table(table, self.folder(context.run) / "table.parquet")
        return Outcome([self.folder(context.run) / "table.parquet"], {"rows": table.num_rows})


STAGES = [Light(name, before) for name, before in zip(NAMES, ("", *NAMES), strict=False)]


def run(out: Path, execute: dict[str, Any], flags: runner.Flags | None = None) -> None:
    """Run the stages; errors as `run_stages`."""
    config = Config.model_validate({"execute": execute})
    given = flags or runner.Flags()
    run_stages = runner.run_stages
    run_stages(RunDirectory(out, config), STAGES, flags=given, reporter=Reporter(), argv=[])


if __name__ == "__main__":
    from tests.pipeline import cluster_program  # by its own name, as workers know it

    runner.all_stages = lambda: tuple(cluster_program.STAGES)
    slurm_chain.again = lambda argv: [sys.executable, "-m", "tests.pipeline.cluster_program", *sys.argv[1:]]
    try:
        cluster_program.run(Path(sys.argv[1]), json.loads(sys.argv[2]))
    except UserError as error:
        print(f"error: {error}\nfix: {error.fix}", file=sys.stderr)
        sys.exit(error.exit_code)
    except HandedOver as rest:
        print(rest, file=sys.stderr)
