"""What a stage is given: an executor by name, for as long as the `with` block lasts."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TypeVar

from pipeline.engine.config_execute import ExecuteSection
from pipeline.engine.executors.registry import EXECUTORS, Lost, Pool, PoolParams
from pipeline.engine.executors.slurm_chain import check_detached
from pipeline.engine.executors.threads import check_device

Task = TypeVar("Task")
Result = TypeVar("Result")


def check_place(execute: ExecuteSection) -> None:
    """Whether the device is on this machine, where the work is done here, and whether a run that is
    to go on by itself can.

    Raises:
        UsageError, MissingError: as `check_device`, `check_detached`. UsageError: an unknown executor.
    """
    check_detached(execute)
    if not EXECUTORS.get(execute.executor).facts.get("remote"):
        check_device(execute.device)


class Executor:
    """A pool that lives as long as the `with` block; workers start with the first task, and keep their
    models.
    """

    def __init__(
        self, name: str, workers: int, execute: ExecuteSection | None = None, root: Path | None = None
    ) -> None:
        """name: of the registry. workers: of this machine. execute: more settings. root: the run folder.

        Raises:
            UsageError: an unknown name. MissingError: its package is not installed; the message has the
                extra.
        """
        given = (execute or ExecuteSection()).model_copy(update={"executor": name, "workers": workers})
        self.name = name
        self._checked = False
        self._pool: Pool = EXECUTORS.create(name, PoolParams(execute=given, root=root))

    @property
    def workers(self) -> int:
        """How many tasks are done at a time."""
        return self._pool.workers

    @property
    def remote(self) -> bool:
        """Whether workers may be on other machines."""
        return self._pool.remote

    def __enter__(self) -> Executor:
        return self

    def release(self) -> None:
        """End the workers, with the models they hold; a later `map` starts new ones."""
        self._pool.release()

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        self._pool.close(interrupted=kind is not None and not issubclass(kind, Exception))

    def map(
        self, call: Callable[[Task], Result], tasks: Sequence[Task], lost: Lost | None = None
    ) -> Iterator[Result]:
        """Results as they finish; arguments and errors as `Pool.map`, before the first task as
        `Pool.check`.
        """
        if tasks and not self._checked:
            self._pool.check()
            self._checked = True
        yield from self._pool.map(call, tasks, lost)
