"""Batches made ahead while the network computes: the same batches in the same order, at any number of
workers.

Reading and augmenting leave Python's lock often enough for threads; forging does not, so fakes drawn anew are
made in processes. A `Feeder` keeps its workers from epoch to epoch.
"""

from __future__ import annotations

import multiprocessing
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Executor, Future, ProcessPoolExecutor, ThreadPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from types import TracebackType
from typing import TypeVar

from detector.training.batch_maker import BatchMaker, Ready
from detector.training.data import Indices
from manifests.errors import PartialError

Item = TypeVar("Item")
Made = TypeVar("Made")
_MAKER: list[BatchMaker] = []
"""In a worker process: what makes its batches."""


def _start(maker: BatchMaker) -> None:
    import cv2

    cv2.setNumThreads(1)
    _MAKER[:] = [maker]


def _make(rows: Indices, epoch: int) -> Ready:
    return _MAKER[0](rows, epoch)


def ahead(items: Sequence[Item], submit: Callable[[Item], Future[Made]], workers: int) -> Iterator[Made]:
    """The results in order, up to two per worker made ahead. An error is raised at its item."""
    waiting: list[Future[Made]] = []
    try:
        for item in items:
            waiting.append(submit(item))
            if len(waiting) > 2 * workers:
                yield waiting.pop(0).result()
        while waiting:
            yield waiting.pop(0).result()
    finally:
        for future in waiting:
            future.cancel()


class Feeder:
    """Makes the batches of a training in `workers` threads, or processes; 0: in this thread.

    Args:
        maker: makes one batch; picklable where `processes`.
        workers: how many make batches ahead.
        processes: whether they are processes, which do not share Python's lock.
    """

    def __init__(self, maker: BatchMaker, workers: int, processes: bool) -> None:
        self.maker, self.workers, self.processes = maker, workers, processes and workers > 0
        self._pool: Executor | None = None

    def __enter__(self) -> Feeder:
        if self.processes:
            self._pool = ProcessPoolExecutor(
                self.workers,
                multiprocessing.get_context("spawn"),
                initializer=_start,
                initargs=(self.maker,),
            )
        elif self.workers:
            self._pool = ThreadPoolExecutor(self.workers, thread_name_prefix="batches")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._pool is not None:
            self._pool.shutdown(wait=True, cancel_futures=True)
        self._pool = None

    def batches(self, batches: Sequence[Indices], epoch: int) -> Iterator[Ready]:
        """The batches of an epoch, in order.

        Raises:
            DataError: as `BatchMaker`. PartialError: a worker process was killed (often: out of memory).
        """
        pool = self._pool
        if pool is None:
            yield from (self.maker(rows, epoch) for rows in batches)
            return
        work = _make if self.processes else self.maker
        try:
            yield from ahead(batches, lambda rows: pool.submit(work, rows, epoch), self.workers)
        except BrokenProcessPool as error:
            raise PartialError(
                "training",
                "a process that makes batches was killed",
                "run the same command again, with fewer --workers if memory was short: it goes on after the"
                " last whole epoch",
            ) from error
