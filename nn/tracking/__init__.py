"""Figures of a training for somebody else's viewer: TensorBoard, MLflow, or a tracker of another package.

    with tracked_by("tensorboard:runs/tb", settings):
        ...                      # any training: it calls `log_figures` once per epoch or snapshot

A training never knows who listens; without a tracker `log_figures` does nothing, and results never depend on
it.
"""

from nn.tracking.base import TRACKERS, Tracker, listening, log_figures, parse_track, tracked_by

__all__ = ["TRACKERS", "Tracker", "listening", "log_figures", "parse_track", "tracked_by"]
