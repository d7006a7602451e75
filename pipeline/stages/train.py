"""Stage `train`: a detector on the dataset's train split, chosen on its validation split."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from pipeline.detector_training import event_text
from pipeline.run_directory import RunDirectory
from pipeline.shards import Task
from pipeline.stages.base import Context, Outcome, Stage


class TrainStage(Stage):
    """Trains with the settings under `[train]`; goes on from the last epoch after an interruption."""

    name = "train"
    needs = ("pair",)
    alone = True

    def config(self, run: RunDirectory) -> dict[str, Any]:
        from detector.settings import TrainSettings

        return {"train": TrainSettings.model_validate(run.config.train).model_dump(mode="json")}

    def finish(self, context: Context, tasks: Sequence[Task]) -> Outcome:
        from detector.settings import TrainSettings
        from detector.training import train
        from pipeline.forging.online import build_forge

        run = context.run
        settings = TrainSettings.model_validate(run.config.train)

        def report(line: dict[str, Any]) -> None:
            context.reporter.line(f"train: {event_text(line)}")

        result = train(
            settings, run.folder("pair") / "manifest.parquet", self.folder(run), report,
            build_forge=build_forge(settings.online, settings.online_params),
        )
        best = max(line["val_auc"] for line in result.metrics)
        names = ("checkpoint.safetensors", "training.json", "metrics.jsonl")
        return Outcome([self.folder(run) / name for name in names], {
            "epochs": len(result.metrics), "best_val_auc": round(float(best), 4),
        })
