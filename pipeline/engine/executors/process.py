"""Executor `process`: spawned workers of one thread each; with `--device cuda` each has one GPU to itself."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from typing import Any

from manifests.errors import PartialError
from pipeline.engine.executors.registry import EXECUTORS, Lost, Pool, PoolParams
from pipeline.engine.executors.threads import one_thread

VISIBLE = "CUDA_VISIBLE_DEVICES"


def visible_gpus(device: str) -> list[str]:
    """The GPUs that workers share out, as `CUDA_VISIBLE_DEVICES` names them; none where `device` is not
    plain `cuda`.

    device: `cuda:1` means that one GPU for all workers, and is left alone.
    """
    if device != "cuda":
        return []
    import torch

    count = torch.cuda.device_count()
    named = [name.strip() for name in os.environ.get(VISIBLE, "").split(",") if name.strip()]
    return named[:count] if named else [str(number) for number in range(count)]


def gpu_of(worker: int, gpus: Sequence[str]) -> str:
    """The GPU of a worker (0, 1, ...): one each, and in turn where there are more workers than GPUs."""
    return gpus[worker % len(gpus)]


def _end_with_parent() -> None:
    """Leave when the parent is gone: a killed run must not go on writing."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)


def _start_worker(gpus: Sequence[str] = (), started: Any = None) -> None:
    """Make a process a worker. gpus: shared out. started: a shared counter of the workers so far."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with_parent, daemon=True).start()
    if gpus:
        with started.get_lock():
            number, started.value = started.value, started.value + 1
        os.environ[VISIBLE] = gpu_of(number, gpus)
    one_thread()


@contextmanager
def _interrupts_held() -> Iterator[None]:
    """Hold Ctrl-C back until the block ends; a process that is started inside never gets it."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


@EXECUTORS.register("process", family="machine", params=PoolParams)
class ProcessPool(Pool):
    """Worker processes on this machine, one GPU each with `--device cuda`."""

    def __init__(self, params: PoolParams) -> None:
        super().__init__(params)
        self._pool: ProcessPoolExecutor | None = None

    @property
    def workers(self) -> int:
        return self.execute.workers

    def release(self) -> None:
        if self._pool is not None:
            self._pool.shutdown(wait=True)
            self._pool = None

    def close(self, *, interrupted: bool) -> None:
        if self._pool is None:
            return
        if interrupted:  # shards are whole or not there, none is waited for
            for worker in multiprocessing.active_children():
                worker.terminate()
        self._pool.shutdown(wait=True, cancel_futures=True)
        self._pool = None

    def _start(self) -> ProcessPoolExecutor:
        context = multiprocessing.get_context("spawn")
        gpus = visible_gpus(self.execute.device)
        given = (gpus, context.Value("i", 0)) if gpus else ()
        return ProcessPoolExecutor(
            self.workers, mp_context=context, initializer=_start_worker, initargs=given
        )

    def map(
        self, call: Callable[[Any], Any], tasks: Sequence[Any], lost: Lost | None = None
    ) -> Iterator[Any]:
        if self.workers == 1 or len(tasks) < 2:
            one_thread()
            yield from map(call, tasks)
            return
        if self._pool is None:
            self._pool = self._start()
        try:
            yield from self._spread(self._pool, call, tasks)
        except BrokenProcessPool as error:
            self._pool = None
            raise PartialError(
                "a worker process",
                "was killed (out of memory?); finished shards are kept",
                "run the same command again, perhaps with fewer --workers",
            ) from error

    def _spread(
        self, pool: ProcessPoolExecutor, call: Callable[[Any], Any], tasks: Sequence[Any]
    ) -> Iterator[Any]:
        """Keep two tasks per worker in flight, so that an error or an interrupt wastes little."""
        left = iter(tasks)
        flying: set[Future[Any]] = set()
        failed: BaseException | None = None
        while True:
            while failed is None and len(flying) < 2 * self.workers:
                task = next(left, None)
                if task is None:
                    break
                with (
                    _interrupts_held()
                ):  # a worker that starts now has them held for good: they are this process's to take
                    flying.add(pool.submit(call, task))
            if not flying:
                break
            done, flying = wait(flying, return_when=FIRST_COMPLETED)
            for future in done:
                error = future.exception()
                if error is None:
                    yield future.result()
                else:
                    failed = failed or error
        if failed is not None:
            raise failed
