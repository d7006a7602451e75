"""Tracker `mlflow`: a run in a local file store, read by `MlflowClient` or `mlflow ui` (`fairforge[mlflow]`).

Nothing leaves this machine: the store is a folder, and MLflow's reports about its own use are switched off. A
training that goes on after a kill is another run of the same experiment, with the steps that were left.
"""

from __future__ import annotations

import importlib
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from manifests.registry import Need
from nn.tracking.base import TRACKERS, TrackerParams

EXPERIMENT = "fairforge"
OFFLINE = {"MLFLOW_ALLOW_FILE_STORE": "true", "MLFLOW_DISABLE_TELEMETRY": "true", "DO_NOT_TRACK": "true"}
"""What MLflow reads from the environment when it is imported; what a user has set stays."""
LONGEST = 500
"""Characters of a setting that are kept: MLflow refuses longer ones."""


@TRACKERS.register("mlflow", family="file store", params=TrackerParams, needs=(Need("mlflow", "mlflow"),))
class Mlflow:
    """Runs of one experiment in a folder for MLflow."""

    def __init__(self, params: TrackerParams) -> None:
        self.folder = params.folder
        self._settings: Mapping[str, str] = {}
        self._client: Any = None
        self._run = ""

    def start(self, settings: Mapping[str, str]) -> None:
        self._settings = settings

    def log(self, step: int, figures: Mapping[str, float]) -> None:
        if self._client is None:
            self._begin()
        for name, value in figures.items():
            self._client.log_metric(self._run, name, value, step=step)

    def _begin(self) -> None:
        for name, value in OFFLINE.items():
            os.environ.setdefault(name, value)
        self._client = importlib.import_module("mlflow").MlflowClient(
            Path(os.path.abspath(self.folder)).as_uri()
        )
        known = self._client.get_experiment_by_name(EXPERIMENT)
        experiment = self._client.create_experiment(EXPERIMENT) if known is None else known.experiment_id
        self._run = self._client.create_run(experiment).info.run_id
        for name, value in self._settings.items():
            self._client.log_param(self._run, name, value[:LONGEST])

    def end(self, *, finished: bool) -> None:
        if self._client is not None:
            self._client.set_terminated(self._run, "FINISHED" if finished else "FAILED")
