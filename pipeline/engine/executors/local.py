"""Executor `local`: shards one after another in this process."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

from pipeline.engine.executors.registry import EXECUTORS, Lost, Pool, PoolParams
from pipeline.engine.executors.threads import one_thread


@EXECUTORS.register("local", family="machine", params=PoolParams)
class LocalPool(Pool):
    """One shard after another in this process."""

    @property
    def workers(self) -> int:
        return 1

    def map(
        self, call: Callable[[Any], Any], tasks: Sequence[Any], lost: Lost | None = None
    ) -> Iterator[Any]:
        one_thread()
        yield from map(call, tasks)
