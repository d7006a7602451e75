"""Long work says how far it is; who calls it decides whether anybody is told.

`watched(items, "pictures")` in a loop, or `watching("training", total)` around one, costs nothing and does
nothing until a program sets a `Watch` for the time being (`watch_by`), as the pipeline does while a stage
runs. Results never depend on it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sized
from contextlib import AbstractContextManager, contextmanager
from contextvars import ContextVar
from typing import Protocol, TypeVar

T = TypeVar("T")
Step = Callable[[int], None]
"""Says how many units are done by now."""


class Watch(Protocol):
    """Shows a piece of work until the context it gives ends."""

    def __call__(self, what: str, total: int, unit: str, done: int) -> AbstractContextManager[Step]:
        """what: the work. total: units it has, 0 where nobody knows. unit: their name. done: units done
        before.
        """
        ...


@contextmanager
def _nobody(what: str, total: int, unit: str, done: int) -> Iterator[Step]:
    yield lambda now: None


_WATCH: ContextVar[Watch] = ContextVar("watch", default=_nobody)


@contextmanager
def watch_by(watch: Watch) -> Iterator[None]:
    """Tell `watch` of all work that begins inside, in this thread."""
    token = _WATCH.set(watch)
    try:
        yield
    finally:
        _WATCH.reset(token)


def watching(what: str, total: int = 0, unit: str = "steps", done: int = 0) -> AbstractContextManager[Step]:
    """A context in which work is done; call what it gives with the number of units done by now."""
    return _WATCH.get()(what, total, unit, done)


def watched(items: Iterable[T], what: str, unit: str = "steps", total: int | None = None) -> Iterator[T]:
    """Pass `items` on, saying how many of them are done. total: needed where `items` have no length."""
    count = total if total is not None else len(items) if isinstance(items, Sized) else 0
    with watching(what, count, unit) as step:
        for number, item in enumerate(items, 1):
            yield item
            step(number)
