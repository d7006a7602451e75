"""`fairforge`: the command line. Errors a user can mend are two lines and an exit code; bugs keep their
traceback.
"""

from __future__ import annotations

import io
import os
import signal
import sys
import time
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path
from types import FrameType
from typing import TextIO

from manifests.errors import EXIT_INTERRUPTED, DataWarning, HandedOver, UsageError, UserError, of_the_disk
from manifests.escaping import multiline, one_line

INTERRUPTED = "interrupted; what is finished is kept, the same command goes on from there"
PATIENCE = 3.0
"""Seconds after an interrupt in which further ones change nothing: it is on its way."""
_last = [-PATIENCE]


def _interrupt(_signal: int, _frame: FrameType | None) -> None:
    before, _last[0] = _last[0], time.monotonic()
    if _last[0] - before >= PATIENCE:
        raise KeyboardInterrupt


def _say(what: str, text: str) -> None:
    """A message on stderr; its further lines are set in, so that no name with a line break can forge a
    message.
    """
    first, *others = multiline(text).split("\n")
    print("\n".join([f"{what}: {first}", *(f"  {line}" for line in others)]), file=sys.stderr)


@contextmanager
def _warnings_as_lines() -> Iterator[None]:
    """Each `DataWarning` as one line on stderr, once, without the place in the code that Python adds."""
    said: set[str] = set()
    with warnings.catch_warnings():
        warnings.simplefilter("always", DataWarning)
        python = warnings.showwarning

        def show(
            message: Warning | str,
            category: type[Warning],
            filename: str,
            lineno: int,
            file: TextIO | None = None,
            line: str | None = None,
        ) -> None:
            if not issubclass(category, DataWarning):
                python(message, category, filename, lineno, file, line)
            elif str(message) not in said:
                said.add(str(message))
                _say("warning", str(message))

        warnings.showwarning = show
        yield


def _told(error: UserError) -> int:
    _say("error", f"{error.what}: {error.why}")
    _say("fix", error.fix)
    return error.exit_code


def _ended(code: object) -> int:
    """The exit code of a `SystemExit`; typer turns an interrupt into one, and says nothing."""
    if code == EXIT_INTERRUPTED:
        print(INTERRUPTED, file=sys.stderr)
    return code if isinstance(code, int) else 0 if code is None else 1


def _refuse_empty(words: list[str]) -> None:
    """No argument is empty: to a path that would mean the current folder, and to a shell an unset variable.

    Raises:
        UsageError: it names the option.
    """
    for before, word in pairwise(["the first argument", *words]):
        name, equals, value = word.partition("=")
        if not word or (name.startswith("--") and equals and not value):
            raise UsageError(
                name or before, "is given an empty value", "give a value; is a variable of the shell unset?"
            )


def main(argv: list[str] | None = None) -> int:
    """Run the command line; returns the exit code (see `manifests.errors`)."""
    try:
        _refuse_empty(sys.argv[1:] if argv is None else argv)
        from pipeline.cli import build

        with _warnings_as_lines():
            build()(args=argv, standalone_mode=True)
    except UserError as error:
        return _told(error)
    except HandedOver as rest:
        print(one_line(rest), file=sys.stderr)
    except OSError as error:
        told = of_the_disk(
            error,
            Path(os.fsdecode(error.filename) if isinstance(error.filename, str | bytes) else "the disk"),
        )
        if told is None:
            raise
        return _told(told)
    except KeyboardInterrupt:
        return _ended(EXIT_INTERRUPTED)
    except SystemExit as end:
        return _ended(end.code)
    return 0


def entry() -> None:
    """The console script: an interrupt ends it at once, however often it comes; worker processes end with
    it.
    """
    for number in (signal.SIGTERM, signal.SIGINT):
        if signal.getsignal(number) is not signal.SIG_IGN:  # as a background shell, or nohup, has it
            signal.signal(number, _interrupt)
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")  # a path need not be UTF-8; stderr is so of itself
    code = main()
    if code == EXIT_INTERRUPTED:
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, signal.SIG_IGN)
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(
            code
        )  # what Python runs at its end may wait for threads, and another interrupt would print a traceback
    sys.exit(code)


if __name__ == "__main__":
    entry()
