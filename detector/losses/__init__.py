"""Losses, one file each, found by name in `LOSSES`; sums of them by `build_loss`."""

from __future__ import annotations

from detector.losses.base import LOSSES, Given, Loss, Needs, Targets
from detector.losses.compose import TotalLoss, build_loss

__all__ = ["LOSSES", "Given", "Loss", "Needs", "Targets", "TotalLoss", "build_loss"]
