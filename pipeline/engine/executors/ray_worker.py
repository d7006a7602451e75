"""What runs on the nodes of a Ray cluster; it imports no Ray."""

from __future__ import annotations

import os
import socket
from pathlib import Path
from typing import Any

from pipeline.engine.executors.settled import Settled, settle
from pipeline.engine.executors.threads import one_thread


def sees(path: str, token: str) -> bool:
    """Whether a file is there with this content, and this process can write beside it."""
    try:
        return Path(path).read_text(encoding="utf-8") == token and os.access(Path(path).parent, os.W_OK)
    except (OSError, UnicodeDecodeError):
        return False


def look(path: str, token: str) -> tuple[str, bool]:
    """The name of this machine, and whether it sees the file."""
    return socket.gethostname(), sees(path, token)


class Worker:
    """Does one task after another, and keeps its models between them.

    Args:
        folder: where relative paths of the driver begin.
    """

    def __init__(self, folder: str) -> None:
        if Path(folder).is_dir():
            os.chdir(folder)
        one_thread()

    def look(self, path: str, token: str) -> tuple[str, bool]:
        """See `look`."""
        return look(path, token)

    def do(self, call: Any, task: Any) -> Settled:
        """Do one task."""
        return settle(call, task)
