"""Stage `train`: a detector on the dataset's train split, chosen on its validation split."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from pipeline.detector_training import event_text
from pipeline.run_directory import RunDirectory
from pipeline.shards import Task
from pipeline.stages.base import Context, Outcome, Stage

if TYPE_CHECKING:
    from detector.settings import TrainSettings


def training_weights(settings: TrainSettings) -> dict[str, str]:
    """sha256 of the weights that a training starts from, by what they are; errors as `detector.starting.start_digests`."""
    if not (settings.pretrained or settings.start):  # which brings torch
        return {}
    from detector.starting import start_digests

    return start_digests(settings)


class TrainStage(Stage):
    """Trains with the settings under `[train]`; goes on from the last epoch after an interruption."""

    name = "train"
    needs = ("pair",)
    alone = True

    def config(self, run: RunDirectory) -> dict[str, Any]:
        return {"train": run.config.training().model_dump(mode="json")}

    def weights(self, run: RunDirectory) -> dict[str, str]:
        from detector.settings import TrainSettings

        return training_weights(TrainSettings.model_validate(run.config.train))

    def finish(self, context: Context, tasks: Sequence[Task]) -> Outcome:
        from detector.training import train
        from pipeline.forging.online import forge_of

        run, execute = context.run, context.config.execute
        settings = run.config.training()

        def report(line: dict[str, Any]) -> None:
            context.reporter.line(f"train: {event_text(line)}")

        result = train(
            settings, run.folder("pair") / "manifest.parquet", self.folder(run), report,
            device=execute.device, workers=execute.workers,
            build_forge=forge_of(settings.model_dump()), digests=execute.compares("whole"),
        )
        best = max(line["val_auc"] for line in result.metrics)
        names = ("checkpoint.safetensors", "training.json", "metrics.jsonl")
        return Outcome([self.folder(run) / name for name in names], {
            "epochs": len(result.metrics), "best_val_auc": round(float(best), 4),
        })
