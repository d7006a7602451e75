"""Progress on stderr and for other terminals: how much of what is done, how fast, how much longer.

A rich bar on a terminal; elsewhere a plain line every 10 seconds, also while nothing comes to its end, so
that no work is silent; nothing when quiet. Inside `Reporter.shared` the same stands in a small file, which
`fairforge status` shows.
"""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, TextIO, TypeVar

from manifests.escaping import one_line
from manifests.watching import Step, Watch
from pipeline.engine.progress_file import ProgressFile

if TYPE_CHECKING:
    from rich.progress import Progress

T = TypeVar("T")


class Work:
    """One piece of work that is being done: `done` of `total` units (0 where nobody knows how many)."""

    def __init__(self, label: str, total: int, done: int, unit: str) -> None:
        self.label, self.total, self.unit = label, total, unit
        self.done = self.first = done
        self.started = time.monotonic()

    @property
    def elapsed(self) -> float:
        """Seconds since it began."""
        return time.monotonic() - self.started

    @property
    def rate(self) -> float:
        """Units per second, of those done since it began."""
        return (self.done - self.first) / self.elapsed if self.elapsed > 0 else 0.0

    @property
    def seconds_left(self) -> float | None:
        """Seconds to its end at this rate; None where that cannot be told yet."""
        return (self.total - self.done) / self.rate if self.total and self.rate > 0 else None

    def text(self) -> str:
        """`verify: 3 of 12 shards (25 %), 0.8 shards/s, 11 s left`, or how long it has been running."""
        if not self.total:
            return f"{self.label}: running for {duration(self.elapsed)}"
        share = f"{self.label}: {self.done} of {self.total} {self.unit} ({100 * self.done // self.total} %)"
        left = self.seconds_left
        if left is None:
            return f"{share}, running for {duration(self.elapsed)}"
        return f"{share}, {self.rate:.2g} {self.unit}/s, {duration(left)} left"


def duration(seconds: float) -> str:
    """Seconds as people say them: `40 s`, `3 min 20 s`, `2 h 5 min`."""
    whole = max(0, round(seconds))
    if whole < 60:
        return f"{whole} s"
    minutes, rest = divmod(whole, 60)
    return f"{minutes} min {rest} s" if minutes < 60 else f"{minutes // 60} h {minutes % 60} min"


class _Board:
    """What is being done now, the innermost last; one thread shows it while there is anything."""

    def __init__(self, say: Callable[[str], None], every: float) -> None:
        self.say, self.every = say, every
        self.file: ProgressFile | None = None
        self.works: list[Work] = []
        self.lock = threading.Lock()
        self.ended = threading.Event()
        self.thread: threading.Thread | None = None

    def push(self, work: Work) -> None:
        with self.lock:
            self.works.append(work)
        self.write()
        if self.thread is None:
            self.ended = threading.Event()
            self.thread = threading.Thread(target=self._watch, args=(self.ended,), daemon=True)
            self.thread.start()

    def pop(self, work: Work) -> None:
        with self.lock:
            self.works.remove(work)
            last = not self.works
        if last and self.thread is not None:
            self.ended.set()
            self.thread.join()
            self.thread = None
        self.write()

    def _watch(self, ended: threading.Event) -> None:
        """A line every `every` seconds, the file every second."""
        said, pause = time.monotonic(), min(1.0, self.every)
        while not ended.wait(pause):
            self.write()
            if time.monotonic() - said >= self.every:
                said = time.monotonic()
                with self.lock:
                    text = self.works[-1].text() if self.works else ""
                if text:
                    self.say(text)

    def write(self) -> None:
        """Tell the file, where there is one."""
        if self.file is None:
            return
        with self.lock:
            value = None
            if self.works:
                work = self.works[-1]
                left = work.seconds_left
                value = {
                    "label": work.label,
                    "done": work.done,
                    "total": work.total,
                    "unit": work.unit,
                    "elapsed": round(work.elapsed, 1),
                    "seconds_left": None if left is None else round(left, 1),
                    "text": work.text(),
                }
            self.file.write(value)


class Reporter:
    """Where stages say what they do. stdout is never written: it belongs to results."""

    def __init__(self, *, quiet: bool = False, stream: TextIO | None = None, every: float = 10.0) -> None:
        self.quiet = quiet
        self.stream = stream or sys.stderr
        self.every = every
        self.prefix = ""
        self._bars: Progress | None = None
        self._board = _Board(self._beat, every)

    def inside(self, name: str) -> Reporter:
        """A reporter whose lines begin with `name/`, for a run inside a run; what is being done is shown by
        this one.
        """
        inner = Reporter(quiet=self.quiet, stream=self.stream, every=self.every)
        inner.prefix, inner._board, inner._bars = f"{self.prefix}{name}/", self._board, self._bars
        return inner

    def line(self, text: str) -> None:
        """One line."""
        if self.quiet:
            return
        if self._bars is not None:
            self._bars.console.print(
                one_line(f"{self.prefix}{text}"), markup=False, highlight=False, soft_wrap=True
            )
        else:
            print(one_line(f"{self.prefix}{text}"), file=self.stream, flush=True)

    def warning(self, text: str) -> None:
        """One line that begins with `warning: `."""
        self.line(f"warning: {text}")

    def _beat(self, text: str) -> None:
        """What is being done, every so often; on a terminal the bar shows it already."""
        if not self.quiet and not self.stream.isatty():
            print(one_line(text), file=self.stream, flush=True)

    @contextmanager
    def shared(self, folder: Path) -> Iterator[None]:
        """Keep a file in `folder` that says what is being done, until this ends."""
        with ProgressFile(folder) as self._board.file:
            try:
                yield
            finally:
                self._board.file = None

    @contextmanager
    def work(self, label: str, total: int = 0, done: int = 0, unit: str = "steps") -> Iterator[Step]:
        """Show that something is being done until this ends; call what it gives with the number of units done
        by now.

        total: 0 where nobody knows how many units there are; then it shows for how long it has been running.
        """
        work = Work(f"{self.prefix}{label}", total, done, unit)
        self._board.push(work)
        try:
            with self._bar(work) as show:

                def step(now: int) -> None:
                    work.done = now
                    show(now)

                yield step
        finally:
            self._board.pop(work)

    def track(
        self, items: Iterable[T], *, total: int, label: str, done: int = 0, unit: str = "shards"
    ) -> Iterator[T]:
        """Pass `items` on, showing `label` and how many of `total` are done."""
        with self.work(label, total, done, unit) as step:
            for number, item in enumerate(items, done + 1):
                yield item
                step(number)

    def watch(self, stage: str) -> Watch:
        """Shows the work that code below the pipeline tells of (`manifests.watching`), as work of a stage."""

        def shown(what: str, total: int, unit: str, done: int) -> AbstractContextManager[Step]:
            return self.work(f"{stage}: {what}", total, done, unit)

        return shown

    @contextmanager
    def _bar(self, work: Work) -> Iterator[Step]:
        """A rich bar, below those of the work around it."""
        if self.quiet or not self.stream.isatty():
            yield lambda now: None
            return
        outermost = self._bars is None
        bars = self._bars or _new_bars(self.stream)
        if outermost:
            bars.start()
            self._bars = bars
        task = bars.add_task("", total=work.total or None, completed=work.done, work=work)
        try:
            yield lambda now: bars.update(task, completed=now)
        finally:
            bars.remove_task(task)
            if outermost:
                bars.stop()
                self._bars = None


def _new_bars(stream: TextIO) -> Progress:
    from rich.console import Console
    from rich.progress import BarColumn, Progress, ProgressColumn, Task
    from rich.text import Text

    class Words(ProgressColumn):
        """What the plain lines say."""

        def render(self, task: Task) -> Text:
            return Text(one_line(task.fields["work"].text()))

    return Progress(BarColumn(bar_width=24), Words(), console=Console(file=stream), transient=True)
