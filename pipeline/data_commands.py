"""`fairforge import` and `fairforge check-release`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from manifests.adapters import ADAPTERS, import_images
from manifests.release import check_release
from pipeline.config_file import parse_set


def import_dataset(adapter: str, source: Path, out: Path, taxonomy: str | None, sets: list[str]) -> tuple[dict[str, Any], str]:
    """Read `source` by an adapter into a manifest under `out`; `sets` are the adapter's parameters, key=value."""
    params = {".".join(path): value for path, value in map(parse_set, sets)}
    result = import_images(adapter, source, out, taxonomy, params)
    text = f"{result.manifest} ({result.n_images} images, {result.n_skipped} skipped)"
    value = {"manifest": str(result.manifest), "images": result.n_images, "skipped": result.n_skipped,
             "warnings": list(result.warnings)}
    return value, "\n".join([*(f"warning: {warning}" for warning in result.warnings), text])


def check_layout(adapter: str, source: Path, sets: list[str]) -> tuple[list[dict[str, Any]], str]:
    """Findings about what is missing of a dataset's layout; nothing is imported."""
    params = {".".join(path): value for path, value in map(parse_set, sets)}
    found = ADAPTERS.create(adapter, params).check(source)
    values = [{"code": f.code, "message": f.message} for f in found]
    return values, "\n".join(f.message for f in found) or f"{source}: the layout of {adapter} is whole"


def check_folder(folder: Path) -> tuple[list[dict[str, Any]], str]:
    """Findings about a release folder; none when all is well."""
    found = check_release(folder)
    values = [{"code": f.code, "message": f.message, "count": f.count, "ids": list(f.ids)} for f in found]
    return values, "\n".join(map(str, found)) or f"{folder}: whole"
