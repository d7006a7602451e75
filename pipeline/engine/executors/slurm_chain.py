"""Runs on Slurm that nobody waits for: behind each array a job of its own runs the same command again.

That job starts when the array has ended, whatever came of it (`--dependency=afterany`). It does the work that
has no shards, submits the next array with the next such job, and ends. What the chain waits for is in
`jobs/detached.json`. It ends with the last stage, with shards that failed, or where an array brought nothing:
never does it go on without a shard that was finished since the job before.
"""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

from manifests.atomic import make_folder, write_json, write_text
from manifests.environment import environment
from manifests.errors import HandedOver, PartialError, UsageError, UserError
from manifests.escaping import one_line
from manifests.text_files import read_json
from pipeline.engine.config_execute import ExecuteSection, SlurmSection
from pipeline.engine.executors.slurm_script import script_of

FOLDER = "jobs"
"""Of the run folder: what jobs are given, what they print."""
STATE = "detached.json"
NAME = "continue"
WAITING, FINISHED, STOPPED = "waiting", "finished", "stopped"
PAUSE = "sleep 2"
"""Of a continuation, before its work: the command that submitted it has left the run folder by then."""
ASK_SECONDS = 30


def read_chain(root: Path) -> dict[str, Any]:
    """What a detached run waits for: `state`, `stage`, `array`, `job`, `left`, `message`; empty where none
    was started.
    """
    path = root / FOLDER / STATE
    return dict(read_json(path, dict)) if path.is_file() else {}


def _note(root: Path, **values: Any) -> None:
    write_json(make_folder(root / FOLDER) / STATE, {**read_chain(root), **values})


def chain_text(chain: dict[str, Any]) -> str:
    """One line of what `read_chain` says."""
    if chain.get("state") == WAITING:
        return one_line(
            f"detached: job {chain.get('job')} goes on when array {chain.get('array')} of stage"
            f" {chain.get('stage')} has ended ({chain.get('left')} shards were left)"
        )
    return one_line(f"detached: {chain.get('state')}: {chain.get('message', '')}")


def check_detached(execute: ExecuteSection) -> None:
    """Whether a run can go on by itself.

    Raises:
        UsageError: it is asked for, and its jobs are not those of a Slurm.
    """
    if not execute.slurm.detach:
        return
    if execute.executor != "slurm" or execute.slurm.cluster == "local":
        raise UsageError("--detach", "is for jobs of Slurm", "leave it out, or take --executor slurm")


def continues(root: Path) -> bool:
    """Whether this process is the job that goes on with the run."""
    job = environment().slurm_job
    return job is not None and read_chain(root).get("job") == job


@contextmanager
def followed(execute: ExecuteSection, root: Path) -> Iterator[None]:
    """While a command works on a run: keep how the chain ended, if it did.

    Raises:
        UsageError: a chain that was started before still goes on.
    """
    if execute.executor != "slurm" or not execute.slurm.detach:
        yield
        return
    chain = read_chain(root)
    if not continues(root) and chain.get("state") == WAITING and _is_queued(str(chain.get("job"))):
        raise UsageError(
            str(root),
            f"is being worked on: {chain_text(chain)}",
            f"wait for it (fairforge status --out {root}), or end it first:"
            f" scancel {chain.get('array')} {chain.get('job')}",
        )
    try:
        yield
    except HandedOver:
        raise
    except UserError as error:
        _note(root, state=STOPPED, message=str(error))
        raise
    _note(root, state=FINISHED, message="all stages asked for are done")


def _is_queued(job: str) -> bool:
    """Whether Slurm has this job, waiting or at work."""
    ask = shutil.which("squeue")
    if ask is None or not job.isdecimal():
        return False
    told = subprocess.run(
        [ask, "--noheader", "--jobs", job, "--format", "%T"],
        capture_output=True,
        text=True,
        check=False,
        timeout=ASK_SECONDS,
    )
    return bool(told.stdout.strip())


def check_progress(root: Path, stage: str, key: str, left: int) -> None:
    """Whether the array before brought anything.

    Args:
        root: the run folder.
        stage: whose shards are due.
        key: of the stage.
        left: its shards that are not done.

    Raises:
        PartialError: this is the job behind an array of the same stage, and no shard was finished since.
    """
    chain = read_chain(root)
    before = chain.get("left")
    same = chain.get("stage") == stage and chain.get("key") == key
    if continues(root) and same and isinstance(before, int) and left >= before:
        raise PartialError(
            f"stage {stage}",
            f"array {chain.get('array')} finished none of the {left} shards that are left, so that no other"
            " one is submitted",
            f"see {root / FOLDER / stage}; when it is mended, run the same command again",
        )


def again(argv: Sequence[str]) -> list[str]:
    """The command that goes on with a run: the same one, but for `--fresh`, which would begin it anew."""
    return [sys.executable, "-m", "pipeline", *(word for word in argv if word != "--fresh")]


def continuation_script(slurm: SlurmSection, root: Path, command: Sequence[str], array: str) -> str:
    """What sbatch is given for the job behind an array. array: its id."""
    behind = slurm.model_copy(
        update={
            "more": {**slurm.more, "dependency": f"afterany:{array}", "chdir": os.getcwd()},
            "setup": (*slurm.setup, PAUSE),
        }
    )
    folder = root.absolute() / FOLDER / NAME
    return script_of(behind, folder, "fairforge-continue", 1, 0, shlex.join(command))


class Array(NamedTuple):
    """An array that was submitted: its id, whose shards it does, the key of that stage, and how many of its
    shards were not done.
    """

    job: str
    stage: str
    key: str
    left: int


def hand_over(slurm: SlurmSection, root: Path, argv: Sequence[str], array: Array) -> None:
    """Submit the job that goes on when an array has ended.

    Args:
        slurm: how.
        root: the run folder.
        argv: of the command that goes on.
        array: what it waits for.

    Raises:
        HandedOver: always, once it is submitted. UsageError: sbatch refused it.
    """
    script = make_folder(root / FOLDER / NAME) / "continue.sh"
    write_text(script, continuation_script(slurm, root, again(argv), array.job))
    done = subprocess.run(["sbatch", "--parsable", str(script)], capture_output=True, text=True, check=False)
    job = done.stdout.strip().partition(";")[0]
    if done.returncode or not job.isdecimal():
        raise UsageError(
            "sbatch",
            f"refused the job behind array {array.job}: {one_line(done.stderr)[:300]}",
            "the array goes on; when it has ended, run the same command again",
        )
    told = {"stage": array.stage, "key": array.key, "array": array.job, "left": array.left}
    _note(root, state=WAITING, job=job, message="", **told)
    raise HandedOver(chain_text(read_chain(root)))
