"""What a run is doing now, for other terminals: one small file per process in the run directory, gone when it
ends.

It is no part of any digest, and nothing depends on it: where it cannot be written, work goes on.
"""

from __future__ import annotations

import json
import os
import socket
import threading
import time
from pathlib import Path
from typing import Any

PATTERN = ".progress-*"
FRESH = 30.0
"""Seconds after which a file of another host counts as left over."""


class ProgressFile:
    """The file of this process in `folder`, while the `with` block lasts."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / f".progress-{socket.gethostname()}-{os.getpid()}.json"
        self.lock = threading.Lock()

    def __enter__(self) -> ProgressFile:
        for file in self.path.parent.glob(PATTERN):
            if not _alive(file):
                file.unlink(missing_ok=True)
        return self

    def __exit__(self, *_: object) -> None:
        self.write(None)

    def write(self, value: dict[str, Any] | None) -> None:
        """Replace the file by `value`, or remove it: readers see the old one or the new one."""
        temporary = self.path.with_suffix(".tmp")
        with self.lock:
            if value is None:
                self.path.unlink(missing_ok=True)
                return
            try:
                temporary.write_text(
                    json.dumps({**value, "process": _name_of(self.path)}, sort_keys=True), encoding="utf-8"
                )
                temporary.replace(self.path)
            except OSError:  # a full disk: the work itself will say so
                temporary.unlink(missing_ok=True)


def _name_of(file: Path) -> str:
    """`HOST-PID` of the process that a file belongs to."""
    return file.stem.removeprefix(".progress-")


def _alive(file: Path) -> bool:
    """Whether the process that a file belongs to is still there; of another host, whether it wrote a moment
    ago.
    """
    host, _, pid = _name_of(file).rpartition("-")
    try:
        if host != socket.gethostname():
            return time.time() - file.stat().st_mtime < FRESH
        os.kill(int(pid), 0)
    except PermissionError:
        return True
    except (OSError, ValueError):
        return False
    return True


def read_progress(folder: Path) -> list[dict[str, Any]]:
    """What the processes that write into this run directory are doing.

    Returns:
        Per process `label`, `done`, `total`, `unit`, `elapsed`, `seconds_left`, `text` and `process`
        (HOST-PID).
    """
    found = []
    for file in sorted(folder.glob(f"{PATTERN}.json")):
        try:
            value = json.loads(file.read_text(encoding="utf-8")) if _alive(file) else None
        except (OSError, ValueError):  # it ended just now
            continue
        if isinstance(value, dict):
            found.append(value)
    return found
