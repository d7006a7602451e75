"""`fairforge export FORMAT MANIFEST --out D`: a manifest in another layout."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from manifests.errors import UsageError
from manifests.release import EXPORTERS
from pipeline.config_file import parse_set


def export_manifest(name: str, manifest: Path, out: Path, sets: list[str]) -> tuple[dict[str, Any], str]:
    """Write a manifest in the layout of a registered exporter; `sets` are its parameters, key=value.

    Raises:
        UsageError: unknown format or parameter, or `out` holds something already.
    """
    exporter = EXPORTERS.create(name, {".".join(path): value for path, value in map(parse_set, sets)})
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise UsageError(str(out), "is there and is not empty", "choose another --out, or empty this folder")
    made = exporter.export(manifest, out)
    files = sum(path.is_file() for path in out.rglob("*"))
    return {"path": str(made), "format": name, "files": files}, f"{made} ({files} files)"
