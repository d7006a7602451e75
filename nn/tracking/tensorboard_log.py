"""Tracker `tensorboard`: an event file in the folder, read by `tensorboard --logdir FOLDER`
(`fairforge[tensorboard]`).
"""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from typing import Any

from manifests.registry import Need
from nn.tracking.base import TRACKERS, TrackerParams


@TRACKERS.register(
    "tensorboard", family="event files", params=TrackerParams, needs=(Need("tensorboard", "tensorboard"),)
)
class TensorBoard:
    """Event files for TensorBoard."""

    def __init__(self, params: TrackerParams) -> None:
        self.folder = params.folder
        self._settings: Mapping[str, str] = {}
        self._writer: Any = None

    def start(self, settings: Mapping[str, str]) -> None:
        self._settings = settings

    def log(self, step: int, figures: Mapping[str, float]) -> None:
        if self._writer is None:
            self._writer = importlib.import_module("torch.utils.tensorboard").SummaryWriter(str(self.folder))
            text = "\n".join(f"| {name} | {value} |" for name, value in sorted(self._settings.items()))
            self._writer.add_text("settings", f"| setting | value |\n|---|---|\n{text}")
        for name, value in figures.items():
            self._writer.add_scalar(name, value, step)
        self._writer.flush()

    def end(self, *, finished: bool) -> None:
        if self._writer is not None:
            self._writer.close()
