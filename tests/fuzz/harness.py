"""What every fuzzed reader is held to: an exit code a user can act on, no process, nothing written elsewhere,
10 s, bounded memory.
"""

from __future__ import annotations

import faulthandler
import os
import resource
import signal
import sys
import tempfile
import warnings
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st

from manifests.errors import EXIT_DONE, EXIT_MISSING, EXIT_PARTIAL, EXIT_USAGE, DataWarning, UserError
from tests.fuzz.mutations import mutated

ALLOWED = {EXIT_DONE, EXIT_USAGE, EXIT_MISSING, EXIT_PARTIAL}
SECONDS, WAITING = 10, 60
"""Of the processor, and of the clock: a reader that waits for something does not use the processor."""
MEMORY = 1536 << 20
"""Bytes of address space that a reader may take beyond what the process had."""
LONGEST_MESSAGE = 40_000
PROCESS = (
    "subprocess.Popen",
    "os.fork",
    "os.forkpty",
    "os.posix_spawn",
    "os.spawn",
    "os.exec",
    "os.system",
    "pty.spawn",
    "os.startfile",
    "socket.connect",
    "webbrowser.open",
)
NUMBERS = st.integers(0, 65535)
MUTATIONS = st.lists(st.tuples(NUMBERS, NUMBERS, NUMBERS), min_size=1, max_size=3)
_watch: dict[str, Any] = {"folder": None, "seen": []}


class Hang(BaseException):
    """A reader took longer than `SECONDS`; no handler of a reader can take it for its own."""


def _audit(event: str, arguments: tuple[Any, ...]) -> None:
    """Python's audit hook: notes processes that start, and files opened for writing outside the folder."""
    folder = _watch["folder"]
    if folder is None:
        return
    if event in PROCESS:
        _watch["seen"].append(f"{event} {arguments!r:.200}")
    elif (
        event == "open"
        and isinstance(arguments[2], int)
        and arguments[2] & (os.O_WRONLY | os.O_RDWR | os.O_CREAT)
    ):
        path = os.fsdecode(arguments[0]) if isinstance(arguments[0], str | bytes) else ""
        if path and not os.path.realpath(path).startswith((folder, "/dev/")):
            _watch["seen"].append(f"opened {path} for writing")


sys.addaudithook(_audit)


def _too_long(_signal: int, _frame: Any) -> None:
    raise Hang(f"longer than {SECONDS} s of the processor, or {WAITING} s")


@contextmanager
def bounded_memory() -> Iterator[None]:
    """Limit the address space while a batch runs."""
    now = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    soft, hard = resource.getrlimit(resource.RLIMIT_AS)
    resource.setrlimit(resource.RLIMIT_AS, (now + MEMORY, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_AS, (soft, hard))


@contextmanager
def limits(folder: Path) -> Iterator[None]:
    """`Hang` after too long; afterwards an AssertionError where a process was started or something
    written.
    """
    _watch["folder"], _watch["seen"] = os.path.realpath(folder), []
    before = {number: signal.signal(number, _too_long) for number in (signal.SIGPROF, signal.SIGALRM)}
    signal.setitimer(signal.ITIMER_PROF, SECONDS)
    signal.setitimer(signal.ITIMER_REAL, WAITING)
    faulthandler.dump_traceback_later(2 * WAITING, exit=True)  # where no Python code runs any more
    try:
        yield
    finally:
        faulthandler.cancel_dump_traceback_later()
        signal.setitimer(signal.ITIMER_PROF, 0)
        signal.setitimer(signal.ITIMER_REAL, 0)
        for number, handler in before.items():
            signal.signal(number, handler)
        _watch["folder"] = None
    assert _watch["seen"] == [], _watch["seen"]


def exit_code(read: Callable[[Path], Any], folder: Path) -> int:
    """The code that the command line would leave with; anything but a `UserError` passes through."""
    told: UserError | None = None
    with limits(folder), warnings.catch_warnings():
        warnings.simplefilter("ignore", DataWarning)
        try:
            read(folder)
        except UserError as error:
            told = error
    if told is None:
        return EXIT_DONE
    assert told.why
    assert told.fix
    assert len(str(told)) < LONGEST_MESSAGE
    return told.exit_code


@dataclass(frozen=True)
class Target:
    """One reader with a valid input.

    Args:
        name: of the test.
        files: makes the input: relative path -> bytes.
        read: what reads it, given its folder.
        modules: whose reading it is.
        examples: mutated inputs.
        kept: the input, once it is made.
    """

    name: str
    files: Callable[[], dict[str, bytes]]
    read: Callable[[Path], Any]
    modules: tuple[str, ...]
    examples: int = 50
    kept: dict[str, bytes] = field(default_factory=dict)

    def valid(self) -> dict[str, bytes]:
        """The valid input, made once."""
        if not self.kept:
            self.kept.update(self.files())
        return self.kept


def lay(files: dict[str, bytes], folder: Path) -> None:
    """Write files below a folder."""
    for name, data in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(data)


def fuzz(target: Target) -> int:
    """Read the valid input, then `target.examples` mutated ones; how many ran.

    Hypothesis draws the mutations from the seed that the target's name gives, so that every run tries the
    same inputs. The valid input is read before anything is limited: what it needs is imported then.
    """
    files, count = target.valid(), 0
    with tempfile.TemporaryDirectory() as folder:
        lay(files, Path(folder))
        target.read(Path(folder))

    @seed(zlib.crc32(target.name.encode()))
    @settings(
        max_examples=target.examples,
        database=None,
        deadline=None,
        phases=(Phase.generate,),
        suppress_health_check=list(HealthCheck),
    )
    @given(MUTATIONS)
    def every(mutations: list[tuple[int, int, int]]) -> None:
        nonlocal count
        count += 1
        with tempfile.TemporaryDirectory() as folder:
            lay(mutated(files, mutations), Path(folder))
            assert exit_code(target.read, Path(folder)) in ALLOWED

    with bounded_memory():
        every()
    return count
