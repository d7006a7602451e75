"""Losses, one file each, found by name in `LOSSES`."""

from __future__ import annotations

from detector.losses.base import LOSSES, Loss, Targets

__all__ = ["LOSSES", "Loss", "Targets"]
