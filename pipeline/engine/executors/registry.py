"""Executors by name, and what each of them is: a pool that maps a picklable callable over tasks."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, ClassVar

from manifests.registry import Params, Registry
from pipeline.engine.config_execute import ExecuteSection

Lost = Callable[[Any, str], Any]
"""From a task whose workers died, and why, to what stands for its result."""


class PoolParams(Params):
    """What a pool is made of: the section `[execute]`, and the run folder where there is one."""

    execute: ExecuteSection = ExecuteSection()
    root: Path | None = None


class Pool(ABC):
    """Workers that do tasks. They start with the first task, and keep their models until `release` or
    `close`.
    """

    remote: ClassVar[bool] = False
    """Whether workers may be on other machines: `execute.device` is then one of theirs, and each shard has a
    log.
    """

    def __init__(self, params: PoolParams) -> None:
        self.params = params
        self.execute, self.root = params.execute, params.root

    @property
    @abstractmethod
    def workers(self) -> int:
        """How many tasks are done at a time, as far as that is known."""

    def check(self) -> None:
        """What can be said against this pool before its first task.

        Raises:
            UserError: a cluster is not there, or does not see the run folder.
        """
        return

    @abstractmethod
    def map(
        self, call: Callable[[Any], Any], tasks: Sequence[Any], lost: Lost | None = None
    ) -> Iterator[Any]:
        """Results as they finish. The first error is raised once what is in flight has ended.

        Args:
            call: a function of a module, or a `partial` of one.
            tasks: picklable.
            lost: what a task comes to whose workers died again and again; None: that is an error.

        Raises:
            PartialError: workers were lost; finished shards are kept.
        """

    def release(self) -> None:
        """End the workers, with the models they hold; a later `map` starts new ones."""
        return

    def close(self, *, interrupted: bool) -> None:
        """End everything. interrupted: nobody waits for what is in flight: shards are whole or not there."""
        self.release()


EXECUTORS: Registry[Pool] = Registry("executors", "pipeline.engine.executors")
