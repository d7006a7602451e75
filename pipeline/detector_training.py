"""`fairforge train --manifest`: a detector on any manifest, outside a run; in one process or in several by torchrun."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from manifests.watching import watch_by
from pipeline.progress import Reporter


def event_text(event: Mapping[str, Any]) -> str:
    """What `detector.training` reports, in one line."""
    if "text" in event:
        return str(event["text"])
    return " ".join(f"{k}={v:.4g}" if isinstance(v, float) else f"{k}={v}" for k, v in event.items())


def train_detector(
    manifest: Path, out: Path, values: Mapping[str, Any], *, device: str, workers: int, tensorboard: Path | None, quiet: bool,
) -> tuple[dict[str, Any], str]:
    """Train, or go on from the state in `out`; the checkpoint and the figures of its epoch.

    values: of `TrainSettings`, checked by `pipeline.config_file`.

    Raises:
        UserError: as `detector.training.train`.
    """
    from detector.training import TrainSettings, train
    from pipeline.forging.online import build_forge

    settings = TrainSettings.model_validate(dict(values))
    first = int(os.environ.get("RANK", "0")) == 0
    reporter = Reporter(quiet=quiet or not first, stream=sys.stderr)

    def report(line: dict[str, Any]) -> None:
        reporter.line(f"train: {event_text(line)}")

    with watch_by(reporter.watch("train")):
        result = train(
            settings, manifest, out, report, device=device, workers=workers, tensorboard=tensorboard,
            build_forge=build_forge(settings.online, settings.online_params),
        )
    best = max(result.metrics, key=lambda line: float(line["val_auc"]))
    reporter.line(f"made {result.checkpoint}; next: fairforge predict FILE --checkpoint {out}")
    return {"checkpoint": str(result.checkpoint), "epochs": len(result.metrics), "best": best}, str(result.checkpoint)
