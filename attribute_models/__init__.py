"""Reads faces: detection, alignment, landmarks, perceived race x gender x age, identity, image quality.

The names below are imported when they are first used, so that importing the package is cheap.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from attribute_models.detection.alignment import align
    from attribute_models.loading import (
        load_attribute_model,
        load_face_detector,
        load_identity_model,
        load_landmarker,
    )

__all__ = ["align", "load_attribute_model", "load_face_detector", "load_identity_model", "load_landmarker"]

_HOME = dict.fromkeys(__all__, "attribute_models.loading") | {"align": "attribute_models.detection.alignment"}


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(_HOME[name]), name)


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
