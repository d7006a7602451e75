"""What a job of Slurm does: several shards one after another; a signal ends the one it is at, and the job is
queued again.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Sequence
from types import FrameType
from typing import Any

from pipeline.engine.executors.settled import Settled, settle
from pipeline.engine.executors.threads import one_thread
from pipeline.engine.shards import Task, not_done

SIGNALS = (signal.SIGTERM, signal.SIGUSR1)
"""Of preemption, besides the one that submitit asks Slurm for."""


def cancelled() -> bool:
    """Whether somebody cancelled this job of Slurm: it must not come back."""
    job, ask = os.environ.get("SLURM_JOB_ID"), shutil.which("scontrol")
    if job is None or ask is None:
        return False
    told = subprocess.run(
        [ask, "show", "job", "-o", job], capture_output=True, text=True, check=False, timeout=30
    )
    return "JobState=CANCELLED" in told.stdout


def queue_again_on_signals() -> None:
    """SIGTERM and SIGUSR1 do what submitit's own signal does: keep what is left, queue the job again, leave.

    Files that are being written are removed on the way out: a shard is there whole or not at all.
    """
    from submitit.core.job_environment import JobEnvironment

    again: Any = signal.getsignal(JobEnvironment._usr_sig())

    def ended(number: int, frame: FrameType | None) -> None:
        if cancelled():
            raise SystemExit(128 + number)
        again(number, frame)

    if callable(again):
        for number in SIGNALS:
            signal.signal(number, ended)


def end_with(driver: int) -> None:
    """Leave when a process of this machine is gone: a killed command must not go on writing."""

    def watch() -> None:
        while os.path.exists(f"/proc/{driver}"):
            time.sleep(1)
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


class Batch:
    """Shards that a job does one after another; those that are done already are passed over when it comes
    back.

    Args:
        call: what is done with a shard.
        tasks: the shards.
        driver: the process that the job ends with, where it is one of this machine; None for a job of a
            cluster.
    """

    def __init__(self, call: Callable[[Any], Any], tasks: Sequence[Task], driver: int | None = None) -> None:
        self.call, self.tasks, self.driver = call, list(tasks), driver

    def __call__(self) -> list[Settled]:
        """What came of each shard."""
        queue_again_on_signals()
        if self.driver is not None and os.path.exists("/proc/self"):
            end_with(self.driver)
        one_thread()
        return [settle(self.call, task) for task in self.tasks if not_done(task, "none") is not None]

    def checkpoint(self) -> Any:
        """What is submitted when the job is queued again: all of it, as what is done is passed over."""
        from submitit.helpers import DelayedSubmission

        return DelayedSubmission(self)
