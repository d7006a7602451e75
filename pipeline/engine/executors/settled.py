"""Outcomes that travel: the result of a call, or its error as a value, so that no transport changes
either.
"""

from __future__ import annotations

import pickle
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any


class WorkerError(RuntimeError):
    """An error of a worker that cannot be sent itself; its text is the traceback."""


@dataclass(frozen=True)
class Settled:
    """The result of a call, or the error that it raised."""

    value: Any = None
    error: BaseException | None = None

    def result(self) -> Any:
        """The result; the error is raised."""
        if self.error is not None:
            raise self.error
        return self.value


def settle(call: Callable[[Any], Any], task: Any) -> Settled:
    """Call, and keep what comes of it. Interrupts and exits go through."""
    try:
        return Settled(call(task))
    except Exception as error:
        try:
            pickle.loads(pickle.dumps(error))
        except Exception:
            return Settled(error=WorkerError(traceback.format_exc()))
        return Settled(error=error)
