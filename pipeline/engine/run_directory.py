"""A run directory: where each stage writes, who may write, and what is recorded about the run.

One process writes at a time (`flock` on `.lock`). `config.toml` is the resolved configuration, `run.json`
what cannot be the same twice (argv, versions, device); neither is part of a digest.
"""

from __future__ import annotations

import fcntl
import os
import platform
import socket
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import metadata
from pathlib import Path
from typing import Any

from manifests import text_files
from manifests.atomic import make_folder, unlinked, write_json, write_text
from manifests.errors import DataError, MissingError, UsageError, disk_errors
from manifests.escaping import printable
from manifests.locks import in_turn
from pipeline.engine.config import Config
from pipeline.engine.config_file import dump_config

PACKAGES = (
    "fairforge",
    "torch",
    "torchvision",
    "timm",
    "numpy",
    "pyarrow",
    "pillow",
    "facenet-pytorch",
    "scikit-learn",
)


CONFIG, RECORD = "config.toml", "run.json"
DIRECTORIES = {"pair": "dataset", "train": "detector", "talk": "dataset"}
"""Folders not called like the stage that writes them. A run has a dataset of pictures or of clips."""


def folder_name(stage: str) -> str:
    """Where the stage called `stage` writes, below the run directory: `dataset` for `pair`, `cross/dataset`
    for `cross/pair`.
    """
    group, slash, own = stage.rpartition("/")
    return f"{group}{slash}{DIRECTORIES.get(own, own)}"


class RunDirectory:
    """`root` with the configuration that rules it."""

    def __init__(self, root: Path, config: Config) -> None:
        self.root = root
        self.config = config

    def folder(self, stage: str) -> Path:
        """Where the stage called `stage` writes."""
        return self.root / folder_name(stage)

    @contextmanager
    def locked(self, *, shared: bool = False) -> Iterator[None]:
        """Hold the run directory for this process, or with `shared` beside others that share it too (hosts of
        `--shard`).

        Raises:
            UsageError: another process holds it; the message has its pid and host.
        """
        file = self.root / ".lock"
        with disk_errors(file):
            make_folder(self.root)
            handle = unlinked(str(file), os.O_RDWR | os.O_CREAT)
        try:
            try:
                fcntl.flock(handle, (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | fcntl.LOCK_NB)
            except BlockingIOError as error:
                owner = os.read(handle, 200).decode(errors="replace").strip() or "another process"
                raise UsageError(
                    str(self.root),
                    f"another run is writing here ({owner})",
                    "wait until it ends, or choose another --out",
                ) from error
            with disk_errors(file):
                os.ftruncate(handle, 0)
                os.pwrite(handle, f"pid {os.getpid()} on {socket.gethostname()}\n".encode(), 0)
            yield
        finally:
            os.close(handle)

    @contextmanager
    def alone(self) -> Iterator[None]:
        """Wait for, then hold, the steps that one host of several does at a time: starting and finishing a
        stage.
        """
        with in_turn(self.root / ".step-lock"):
            yield

    def record(self, argv: list[str]) -> None:
        """Write `config.toml` and `run.json`."""
        write_text(self.root / CONFIG, dump_config(self.config))
        versions = {}
        for package in PACKAGES:
            try:
                versions[package] = metadata.version(package)
            except metadata.PackageNotFoundError:
                versions[package] = "not installed"
        write_json(
            self.root / RECORD,
            {
                "argv": list(map(printable, argv)),
                "python": sys.version.split()[0],
                "platform": platform.platform(),
                "versions": versions,
                "device": self.config.execute.device,
                "seed": self.config.run.seed,
                "stages": self.digests(),
            },
        )

    def digests(self) -> dict[str, str]:
        """The digest of every finished stage, by its folder below the run directory."""
        out = {}
        nested = sorted(self.root.glob("*/*/done/stage.json"))
        groups = {marker.parents[2] for marker in nested}
        for marker in [*sorted(self.root.glob("*/done/stage.json")), *nested]:
            folder = marker.parent.parent
            if folder not in groups:
                out[folder.relative_to(self.root).as_posix()] = str(read_json(marker).get("digest", ""))
        return out


def read_json(path: Path) -> dict[str, Any]:
    """A JSON file as a dictionary; an empty one where the file is missing, was cut off, or is none."""
    try:
        value: dict[str, Any] = text_files.read_json(path, dict)
    except (MissingError, DataError):
        return {}
    return value
