"""Stage `train`: a detector on the dataset's train split, chosen on its validation split."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from pipeline.engine.run_directory import RunDirectory
from pipeline.engine.shards import Task
from pipeline.engine.stage import Context, Outcome, Stage
from pipeline.engine.stages import STAGES
from pipeline.stages.train.manifest_training import event_text
from pipeline.stages.train.online import online_digests

if TYPE_CHECKING:
    from detector.training.settings import TrainSettings


def training_weights(settings: TrainSettings) -> dict[str, str]:
    """sha256 of the weights that a training starts from, has beside it or draws fakes with, by what they are.

    Raises:
        UserError: as `starting_weights.start_digests` and `online.online_digests`.
    """
    drawn = online_digests(settings.online, settings.online_params) if settings.online else {}
    if not (settings.pretrained or settings.start or settings.beside):  # which brings torch
        return drawn
    from detector.models.starting_weights import start_digests

    return start_digests(settings) | drawn


@STAGES.register("train")
class TrainStage(Stage):
    """Trains with the settings under `[train]`; goes on from the last epoch after an interruption."""

    name = "train"
    after = "cross/pair"
    needs = ("pair",)
    alone = True

    def config(self, run: RunDirectory) -> dict[str, Any]:
        return {"train": run.config.training().model_dump(mode="json")}

    def weights(self, run: RunDirectory) -> dict[str, str]:
        from detector.training.settings import TrainSettings

        return training_weights(TrainSettings.model_validate(run.config.train))

    def finish(self, context: Context, tasks: Sequence[Task]) -> Outcome:
        from detector.training.loop import train
        from pipeline.stages.train.online import forge_of

        run, execute = context.run, context.config.execute
        settings = run.config.training()

        def report(line: dict[str, Any]) -> None:
            context.reporter.line(f"train: {event_text(line)}")

        result = train(
            settings,
            run.folder("pair") / "manifest.parquet",
            self.folder(run),
            report,
            device=execute.device,
            workers=execute.workers,
            build_forge=forge_of(settings.model_dump()),
            digests=execute.compares("whole"),
        )
        best = max(line["val_auc"] for line in result.metrics)
        names = ("checkpoint.safetensors", "training.json", "metrics.jsonl")
        return Outcome(
            [self.folder(run) / name for name in names],
            {
                "epochs": len(result.metrics),
                "best_val_auc": round(float(best), 4),
            },
        )
