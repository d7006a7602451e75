"""Executors: functions that map a picklable callable over tasks, results in the order they finish.

`local` runs in this process; `process` in spawned workers, each with one torch thread, so that results do not
depend on how many there are.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from typing import Any, TypeVar

from manifests.allocator import keep_freed_memory
from manifests.errors import PartialError

Task = TypeVar("Task")
Result = TypeVar("Result")
NAMES = ("local", "process")


def check_device(device: str) -> str:
    """`device` itself, where it is on this machine; `cpu` is known without loading torch.

    Raises:
        UsageError, MissingError: as `nn.devices.torch_device`.
    """
    if device != "cpu":
        from nn.devices import torch_device

        torch_device(device)
    return device


def one_thread() -> None:
    """One thread for torch and OpenCV in this process: kernels then add in one order. Freed memory is kept
    for the next batch.

    What is not imported yet reads it from the environment when it is: workers whose stage needs no torch do
    without it.
    """
    os.environ.update(dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENCV_FOR_THREADS_NUM"), "1"))
    keep_freed_memory()
    if "cv2" in sys.modules:
        import cv2

        cv2.setNumThreads(1)
    if "torch" in sys.modules:
        import torch

        torch.set_num_threads(1)


def _end_with_parent() -> None:
    """Leave when the parent is gone: a killed run must not go on writing."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)


def _start_worker() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with_parent, daemon=True).start()
    one_thread()


@contextmanager
def _interrupts_held() -> Iterator[None]:
    """Hold Ctrl-C back until the block ends; a process that is started inside never gets it."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


class Executor:
    """A pool that lives as long as the `with` block; workers start with the first task, and keep their
    models.
    """

    def __init__(self, name: str, workers: int) -> None:
        self.name = name
        self.workers = workers if name == "process" else 1
        self._pool: ProcessPoolExecutor | None = None

    def __enter__(self) -> Executor:
        return self

    def release(self) -> None:
        """End the workers, with the models they hold; a later `map` starts new ones."""
        if self._pool is not None:
            self._pool.shutdown(wait=True)
            self._pool = None

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if self._pool is None:
            return
        if kind is not None and not issubclass(
            kind, Exception
        ):  # interrupted: shards are whole or not there, none is waited for
            for worker in multiprocessing.active_children():
                worker.terminate()
        self._pool.shutdown(wait=True, cancel_futures=True)
        self._pool = None

    def map(self, call: Callable[[Task], Result], tasks: Sequence[Task]) -> Iterator[Result]:
        """Results as they finish. The first error is raised once what is in flight has ended.

        Raises:
            PartialError: a worker was killed (out of memory, say); finished shards are kept.
        """
        if self.workers == 1 or len(tasks) < 2:
            one_thread()
            yield from map(call, tasks)
            return
        if self._pool is None:
            context = multiprocessing.get_context("spawn")
            self._pool = ProcessPoolExecutor(self.workers, mp_context=context, initializer=_start_worker)
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
        self,
        pool: ProcessPoolExecutor,
        call: Callable[[Any], Result],
        tasks: Sequence[Any],
    ) -> Iterator[Result]:
        """Keep two tasks per worker in flight, so that an error or an interrupt wastes little."""
        left = iter(tasks)
        flying: set[Future[Result]] = set()
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
