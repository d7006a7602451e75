"""Figures of each epoch for TensorBoard, as an option (`fairforge[tensorboard]`)."""

from __future__ import annotations

import importlib
import importlib.util
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from manifests.errors import MissingError


class EpochLog:
    """Writes an event file into `folder`; without a folder it does nothing.

    Raises:
        MissingError: the package `tensorboard` is not installed.
    """

    def __init__(self, folder: Path | None) -> None:
        self.folder, self._writer = folder, None
        if folder is not None and importlib.util.find_spec("tensorboard") is None:
            raise MissingError(
                "--tensorboard", "needs the package 'tensorboard', which is not installed", "pip install 'fairforge[tensorboard]'"
            )

    def write(self, figures: Mapping[str, Any], rate: float) -> None:
        """One epoch: every number of `figures` under its name, at step `figures["epoch"]`, and the learning rate."""
        if self.folder is None:
            return
        if self._writer is None:
            self._writer = importlib.import_module("torch.utils.tensorboard").SummaryWriter(str(self.folder))
        for name, value in {**figures, "learning_rate": rate}.items():
            if isinstance(value, int | float) and name != "epoch":
                self._writer.add_scalar(name, value, figures["epoch"])
        self._writer.flush()
