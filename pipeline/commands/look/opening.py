"""Starts Spotlight or FiftyOne, wherever it is installed: beside FairForge, or in an environment of its own
(pipx).
"""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
import sys
from collections.abc import Callable
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from manifests.errors import MissingError
from pipeline.commands.look.writing import LAYOUT, SCRIPT, TABLE, Look, write_look

EXPLORERS = ("spotlight", "fiftyone")
INSTALL = {"spotlight": "pipx install renumics-spotlight", "fiftyone": "pipx install fiftyone"}
QUIET = {"SPOTLIGHT_OPT_OUT": "true", "FIFTYONE_DO_NOT_TRACK": "true"}
"""Environment under which neither tells its maker that it was started."""


def _has(module: str) -> bool:
    try:
        return find_spec(module) is not None
    except ModuleNotFoundError:
        return False


def _python_of(script: str) -> str | None:
    """The interpreter beside a console script, whose environment has what the script needs."""
    found = shutil.which(script)
    if found is None:
        return None
    for place in (Path(found), Path(os.path.realpath(found))):
        for name in ("python", "python3"):
            if (place.parent / name).is_file():
                return str(place.parent / name)
    return None


def _program(name: str) -> list[str] | None:
    """How the program is called; None where it is not installed."""
    if name == "spotlight":
        found = shutil.which("spotlight")
        beside = Path(sys.executable).parent / "spotlight"
        if _has("renumics.spotlight") and beside.is_file():
            return [str(beside)]
        return [found] if found else None
    python = sys.executable if _has("fiftyone") else _python_of("fiftyone")
    return [python] if python else None


def command_of(look: Look, name: str, port: int | None = None, browser: bool = True) -> list[str]:
    """The command that opens what was written.

    Args:
        look: what was written.
        name: `spotlight`, `fiftyone`, or `auto`: the first that is installed.
        port: to serve at, on this machine alone; None: the program's own choice.
        browser: whether it opens a browser window.

    Raises:
        MissingError: it is not installed; the message says how to install it.
    """
    for one in EXPLORERS if name == "auto" else (name,):
        program = _program(one)
        if program is None:
            continue
        quiet = [] if browser else ["--no-browser"]
        if one == "fiftyone":
            return [*program, str(look.folder / SCRIPT), *(["--port", str(port)] if port else []), *quiet]
        types = [part for column, kind in look.types.items() for part in ("--dtype", f"{column}={kind}")]
        return [
            *program,
            str(look.folder / TABLE),
            *types,
            "--layout",
            str(look.folder / LAYOUT),
            "--host",
            "localhost",
            "--port",
            str(port) if port else "auto",
            "--no-filebrowsing",
            *quiet,
        ]
    wanted = EXPLORERS if name == "auto" else (name,)
    raise MissingError(
        " or ".join(wanted),
        "is not installed",
        f"{' or '.join(INSTALL[one] for one in wanted)}; or look --with none, and open "
        f"{look.folder} elsewhere",
    )


def start(command: list[str], root: Path) -> int:
    """Run the explorer in the manifest's folder until it ends or is interrupted; returns its exit status.

    Spotlight looks for relative paths where it was started.
    """
    process = subprocess.Popen(command, env={**os.environ, **QUIET}, cwd=root)
    try:
        return process.wait()
    finally:
        if process.poll() is None:
            process.terminate()
            process.wait()


def open_look(
    where: Path,
    out: Path | None,
    scores: Path | None,
    embeddings: Path | None,
    explorer: str = "auto",
    port: int | None = None,
    browser: bool = True,
) -> tuple[dict[str, Any], str, Callable[[], int] | None]:
    """Write what the explorers need: values, text, and what starts the explorer and returns its exit status
    (None for `none`).

    Args:
        where, out, scores, embeddings: as `write_look`.
        explorer: `auto`, `spotlight`, `fiftyone` or `none`.
        port, browser: as `command_of`.

    Raises:
        MissingError, DataError, UsageError: see `write_look` and `command_of`; what was written stays.
    """
    look = write_look(where, out, scores, embeddings)
    value: dict[str, Any] = {"folder": str(look.folder), "counts": dict(look.counts)}
    text = f"{look.folder}\n{', '.join(f'{n} {name}' for name, n in look.counts.items())}"
    if explorer == "none":
        return value, text, None
    command = command_of(look, explorer, port, browser)
    text += f"\ncd {shlex.quote(str(look.root))} && {shlex.join(command)}"
    return {**value, "command": command}, text, partial(start, command, look.root)
