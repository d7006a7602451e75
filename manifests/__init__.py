"""What a sample is: taxonomy, records, schema, store, seeding, images, splits, audit, adapters, release.

Names below are imported on first use, so that importing a light module does not load pyarrow and pydantic.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from manifests.errors import UserError
    from manifests.records import Cell, Face, ForgeryRecord, ImageRecord, Pair
    from manifests.schema import Finding
    from manifests.store import read_manifest, validate, write_manifest

_HOMES = {
    "UserError": "errors",
    "Cell": "records",
    "Face": "records",
    "ForgeryRecord": "records",
    "ImageRecord": "records",
    "Pair": "records",
    "Finding": "schema",
    "read_manifest": "store",
    "validate": "store",
    "write_manifest": "store",
}

__all__ = [
    "Cell",
    "Face",
    "Finding",
    "ForgeryRecord",
    "ImageRecord",
    "Pair",
    "UserError",
    "read_manifest",
    "validate",
    "write_manifest",
]


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        return getattr(importlib.import_module(f"manifests.{_HOMES[name]}"), name)
    raise AttributeError(f"module 'manifests' has no attribute {name!r}")
