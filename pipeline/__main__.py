"""`fairforge`: the command line. Errors a user can mend are two lines and an exit code; bugs keep their traceback."""

from __future__ import annotations

import signal
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import TextIO

from manifests.errors import EXIT_INTERRUPTED, DataWarning, UserError
from manifests.escaping import multiline


def _interrupt(_signal: int, _frame: FrameType | None) -> None:
    raise KeyboardInterrupt


def _say(what: str, text: str) -> None:
    """A message on stderr; its further lines are set in, so that no name with a line break can forge a message."""
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
            message: Warning | str, category: type[Warning], filename: str, lineno: int, file: TextIO | None = None,
            line: str | None = None,
        ) -> None:
            if not issubclass(category, DataWarning):
                python(message, category, filename, lineno, file, line)
            elif str(message) not in said:
                said.add(str(message))
                _say("warning", str(message))

        warnings.showwarning = show
        yield


def main(argv: list[str] | None = None) -> int:
    """Run the command line; returns the exit code (see `manifests.errors`)."""
    from pipeline.cli import build

    signal.signal(signal.SIGTERM, _interrupt)
    try:
        with _warnings_as_lines():
            build()(args=argv, standalone_mode=True)
    except UserError as error:
        _say("error", f"{error.what}: {error.why}")
        _say("fix", error.fix)
        return error.exit_code
    except KeyboardInterrupt:
        print("interrupted; what is finished is kept, the same command goes on from there", file=sys.stderr)
        return EXIT_INTERRUPTED
    except SystemExit as end:
        return int(end.code or 0) if not isinstance(end.code, str) else 1
    return 0


def entry() -> None:
    """The console script."""
    sys.exit(main())


if __name__ == "__main__":
    entry()
