"""Batches made ahead in threads, while the network computes: the same batches in the same order, at any number of threads."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

Item = TypeVar("Item")
Ready = TypeVar("Ready")


def prepared(items: Sequence[Item], make: Callable[[Item], Ready], workers: int) -> Iterator[Ready]:
    """`make(item)` of each item in order, up to two per worker made ahead in threads; 0 workers: in this thread.

    An error of `make` is raised at its item.
    """
    if workers == 0:
        yield from map(make, items)
        return
    pool, waiting, source = ThreadPoolExecutor(workers, thread_name_prefix="batches"), list[Future[Ready]](), iter(items)
    try:
        for item in source:
            waiting.append(pool.submit(make, item))
            if len(waiting) > 2 * workers:
                yield waiting.pop(0).result()
        while waiting:
            yield waiting.pop(0).result()
    finally:
        pool.shutdown(wait=True, cancel_futures=True)
