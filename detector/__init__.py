"""Tells real faces from fake ones: backbones, heads, losses, SAM, training, prediction, metrics, fairness.

Nothing heavy is imported until it is used: `detector.load_detector(path)`, `detector.fairness.report(...)`.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from detector import fairness
    from detector.inference.prediction import load_detector

__all__ = ["fairness", "load_detector"]


def __getattr__(name: str) -> Any:
    if name == "load_detector":
        return importlib.import_module("detector.inference.prediction").load_detector
    if name == "fairness":
        return importlib.import_module("detector.fairness")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
