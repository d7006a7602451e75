"""Progress on stderr: a rich bar on a terminal, one plain line every 10 seconds otherwise, nothing when quiet."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterable, Iterator
from typing import TextIO, TypeVar

T = TypeVar("T")


class Reporter:
    """Where stages say what they do. stdout is never written: it belongs to results."""

    def __init__(self, *, quiet: bool = False, stream: TextIO | None = None, every: float = 10.0,
                 prefix: str = "") -> None:
        self.quiet = quiet
        self.stream = stream or sys.stderr
        self.every = every
        self.prefix = prefix

    def inside(self, name: str) -> Reporter:
        """A reporter whose lines begin with `name/`, for a run inside a run."""
        return Reporter(quiet=self.quiet, stream=self.stream, every=self.every, prefix=f"{self.prefix}{name}/")

    def line(self, text: str) -> None:
        """One line."""
        if not self.quiet:
            print(f"{self.prefix}{text}", file=self.stream, flush=True)

    def warning(self, text: str) -> None:
        """One line that begins with `warning: `."""
        self.line(f"warning: {text}")

    def track(self, items: Iterable[T], *, total: int, label: str, done: int = 0, unit: str = "shards") -> Iterator[T]:
        """Pass `items` on, showing `label` and how many of `total` are done."""
        if self.quiet:
            yield from items
        elif self.stream.isatty():
            yield from self._bar(items, total, label, done)
        else:
            yield from self._lines(items, total, label, done, unit)

    def _bar(self, items: Iterable[T], total: int, label: str, done: int) -> Iterator[T]:
        from rich.console import Console
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

        columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
        with Progress(*columns, console=Console(file=self.stream), transient=True) as progress:
            task = progress.add_task(label, total=total, completed=done)
            for item in items:
                yield item
                progress.advance(task)

    def _lines(self, items: Iterable[T], total: int, label: str, done: int, unit: str) -> Iterator[T]:
        last = time.monotonic()
        for item in items:
            yield item
            done += 1
            if time.monotonic() - last >= self.every:
                last = time.monotonic()
                self.line(f"{label}: {done} of {total} {unit}")
