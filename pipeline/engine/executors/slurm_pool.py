"""Executor `slurm`: shards in job arrays through submitit, a stage after another; processes of this machine
where there is no Slurm.

What is small and has no shards (fitting cells, labelling a few hundred faces for it) is done by worker
processes beside the command.
"""

from __future__ import annotations

import os
import re
import shutil
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from manifests.atomic import make_folder
from manifests.errors import PartialError, UsageError
from manifests.registry import Need
from pipeline.engine.config_execute import SlurmSection, minutes
from pipeline.engine.executors.process import ProcessPool
from pipeline.engine.executors.registry import EXECUTORS, Lost, Pool, PoolParams
from pipeline.engine.executors.slurm_chain import FOLDER, Array, check_progress, continues, hand_over
from pipeline.engine.executors.slurm_script import import_submitit, job_parameters
from pipeline.engine.executors.threads import THREADS

TICK = 0.5
"""Seconds between two looks at which shards are done."""
ASK = 60.0
"""Seconds between two questions to Slurm whether jobs died."""


@dataclass
class _Job:
    """A job that was submitted, and the shards that it has to do."""

    handle: Any
    tasks: list[Any]
    tries: int = 1


def batches_of(
    tasks: Sequence[Any], execute_workers: int, slurm: SlurmSection, local: bool
) -> list[list[Any]]:
    """Shards dealt to jobs.

    On this machine as many jobs as workers. On Slurm one shard each, or `shards_per_task`, or as few as the
    largest array allows.
    """
    if local:
        size = -(-len(tasks) // max(1, execute_workers))
    else:
        size = slurm.shards_per_task or -(-len(tasks) // slurm.array)
    return [list(tasks[start : start + size]) for start in range(0, len(tasks), size)]


@EXECUTORS.register(
    "slurm", family="cluster", params=PoolParams, needs=(Need("submitit", "slurm"),), remote=True
)
class SlurmPool(Pool):
    """Job arrays of Slurm through submitit, or the same jobs as processes of this machine."""

    remote = True

    def __init__(self, params: PoolParams) -> None:
        super().__init__(params)
        cluster = self.execute.slurm.cluster
        self.local = cluster == "local" or (cluster == "auto" and shutil.which("srun") is None)
        self._beside = ProcessPool(params)
        self._jobs: list[_Job] = []

    @property
    def workers(self) -> int:
        return self.execute.cluster_workers or (
            self.execute.workers if self.local else self.execute.slurm.array
        )

    def check(self) -> None:
        """Whether there is a Slurm to submit to.

        Raises:
            UsageError: there is none, and it was asked for.
        """
        detach = self.execute.slurm.detach
        if (detach and self.local) or (not self.local and shutil.which("sbatch") is None):
            raise UsageError(
                "executor slurm",
                f"there is no `{'srun' if self.local else 'sbatch'}` on this machine",
                "start the command on a login node"
                + (", without --detach if it shall wait" if detach else ", or take --slurm-cluster local"),
            )

    def _submitter(self, name: str) -> Any:
        """An executor of submitit's for the jobs of one stage."""
        submitit = import_submitit()
        slurm = self.execute.slurm
        folder = make_folder((self.root or Path()).absolute() / FOLDER / name)
        if self.local:
            made: Any = submitit.LocalExecutor(folder, max_num_timeout=slurm.retries)
            gpus = 1 if self.execute.device.startswith("cuda") else 0
            made.update_parameters(
                timeout_min=minutes(slurm.time),
                signal_delay_s=slurm.signal_seconds,
                stderr_to_stdout=True,
                gpus_per_node=gpus,
            )
        else:
            made = submitit.SlurmExecutor(folder, max_num_timeout=slurm.retries)
            made.update_parameters(**job_parameters(slurm, f"fairforge-{name}", self.execute.cluster_workers))
        return made

    def map(
        self, call: Callable[[Any], Any], tasks: Sequence[Any], lost: Lost | None = None
    ) -> Iterator[Any]:
        from pipeline.engine.markers import remove_marker
        from pipeline.engine.shards import Task

        shards = [task for task in tasks if isinstance(task, Task)]
        if not shards or len(shards) < len(tasks):
            yield from self._beside.map(call, tasks, lost)
            return
        self._beside.release()
        if self.execute.slurm.detach:
            self._detach(call, shards)
            return
        for task in shards:
            remove_marker(
                task.marker
            )  # those that are made again: a marker says that a job is through with one
        submitter = self._submitter(re.sub(r"[^\w.-]", "-", shards[0].stage))
        batches = batches_of(shards, self.workers, self.execute.slurm, self.local)
        waiting = [
            batches[start : start + self.execute.slurm.array]
            for start in range(0, len(batches), self.execute.slurm.array)
        ]
        failed: BaseException | None = None
        for array in waiting:
            if failed is not None:
                break
            self._jobs = self._submit(submitter, call, array)
            for one in self._watch(submitter, call, lost):
                if isinstance(one, BaseException):
                    failed = failed or one
                else:
                    yield one
        if failed is not None:
            raise failed

    def _detach(self, call: Callable[[Any], Any], shards: Sequence[Any]) -> None:
        """Submit the next array of these shards with the job that goes on behind it; nothing where all that
        are left have failed since this chain began.

        Raises:
            HandedOver: they are submitted. PartialError: the array before finished none.
        """
        from pipeline.engine.attempts import failure_of
        from pipeline.engine.markers import remove_marker
        from pipeline.engine.run_directory import RECORD, read_json

        root, stage, left = self.root or Path(), shards[0].stage, len(shards)
        due = [task for task in shards if not (continues(root) and failure_of(task))]
        if not due:
            return
        check_progress(root, stage, shards[0].key, left)
        for task in due:
            remove_marker(task.marker)
        batches = batches_of(due, self.workers, self.execute.slurm, self.local)[: self.execute.slurm.array]
        jobs = self._submit(self._submitter(re.sub(r"[^\w.-]", "-", stage)), call, batches)
        array = str(jobs[0].handle.job_id).partition("_")[0]
        argv = read_json(root / RECORD).get("argv", [])
        hand_over(self.execute.slurm, root, argv, Array(array, stage, shards[0].key, left))

    def _submit(
        self, submitter: Any, call: Callable[[Any], Any], array: Sequence[Sequence[Any]], tries: int = 1
    ) -> list[_Job]:
        """Submit an array of jobs."""
        from pipeline.engine.executors.slurm_job import Batch

        driver = os.getpid() if self.local else None
        with _environment(THREADS):
            if len(array) == 1:
                handles = [submitter.submit(Batch(call, array[0], driver))]
            else:
                with submitter.batch():
                    handles = [submitter.submit(Batch(call, batch, driver)) for batch in array]
        return [_Job(handle, list(batch), tries) for handle, batch in zip(handles, array, strict=True)]

    def _watch(self, submitter: Any, call: Callable[[Any], Any], lost: Lost | None) -> Iterator[Any]:
        """What comes of the shards of all jobs, until none is left; an error of the user's is given as
        itself.

        A shard is through when its marker is there; what failed is told by its job when that ends; what a
        job that died leaves is submitted again.
        """
        asked = time.monotonic()
        while self._jobs:
            force = time.monotonic() - asked > ASK
            asked = time.monotonic() if force else asked
            for job in list(self._jobs):
                ended = job.handle.done(force_check=force)
                for task in [task for task in job.tasks if task.marker.is_file()]:
                    job.tasks.remove(task)
                    yield _through(task)
                if not ended:
                    continue
                self._jobs.remove(job)
                outcome = _outcome(job.handle)
                if outcome is None:
                    yield from self._lose(submitter, call, job, lost)
                    continue
                for settled in outcome:
                    if settled.error is not None:
                        yield settled.error
                    elif settled.value.error:
                        yield settled.value
            time.sleep(TICK if self._jobs else 0)

    def _lose(
        self, submitter: Any, call: Callable[[Any], Any], job: _Job, lost: Lost | None
    ) -> Iterator[Any]:
        """A job died: its shards are submitted again, or given up."""
        if not job.tasks:
            return
        cancelled = str(job.handle.state).startswith("CANCELLED")
        if job.tries <= self.execute.slurm.retries and not cancelled:
            self._jobs += self._submit(submitter, call, [job.tasks], job.tries + 1)
            return
        how = (
            "was cancelled" if cancelled else f"was lost {job.tries} times (out of memory, or over its time?)"
        )
        why = f"its job {how}; see {job.handle.paths.stdout}"
        if lost is None:
            raise PartialError(
                f"job {job.handle.job_id}", why, "when it is mended, run the same command again"
            )
        yield from (lost(task, why) for task in job.tasks)

    def release(self) -> None:
        self._beside.release()

    def close(self, *, interrupted: bool) -> None:
        for job in self._jobs:
            with suppress(Exception):
                job.handle.cancel(check=False)
        for job in self._jobs if self.local else ():
            with suppress(Exception):
                job.handle._process.wait(timeout=20)
        self._jobs = []
        self._beside.close(interrupted=interrupted)


def _outcome(handle: Any) -> list[Any] | None:
    """What came of the shards of a job that ended; None where it died."""
    submitit = import_submitit()
    handle._results_timeout_s = 0 if isinstance(handle, submitit.LocalJob) else handle._results_timeout_s
    try:
        found: list[Any] = handle.result()
    except (submitit.core.utils.UncompletedJobError, submitit.core.utils.FailedJobError, OSError, EOFError):
        return None
    return found


def _through(task: Any) -> Any:
    """What a shard whose marker is there came to."""
    from pipeline.engine.attempts import Attempt
    from pipeline.engine.run_directory import read_json

    rows = read_json(task.marker).get("rows", 0)
    return Attempt(task.index, rows if isinstance(rows, int) else 0)


@contextmanager
def _environment(values: dict[str, str]) -> Iterator[None]:
    """Variables of the environment that processes started inside have."""
    before = {name: os.environ.get(name) for name in values}
    os.environ.update(values)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value
