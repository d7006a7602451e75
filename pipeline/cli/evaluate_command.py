"""`fairforge evaluate`: the stage of a run, or any detector on any manifests where `--manifest` is given."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from pipeline.cli import options as o

HELP = (
    "Score the datasets of a run and measure fairness; or, with --manifest, any detector on any datasets: "
    "--checkpoint D --manifest m/ffpp --manifest m/celebdf --threshold val-eer --out E."
)
ManifestOption = Annotated[list[Path] | None, typer.Option("--manifest", help="A manifest, or its folder (repeatable).")]
CheckpointOption = Annotated[Path | None, typer.Option("--checkpoint", help="checkpoint.safetensors of a detector, or its folder.")]
ThresholdOption = Annotated[
    str, typer.Option("--threshold", help="A number, val-eer, or val-fpr@0.05: fixed on validation, never on test."),
]


def add(app: typer.Typer) -> None:
    """Add `evaluate` to the app."""

    @app.command("evaluate", help=HELP)
    def evaluate(
        out: Annotated[Path, typer.Option("--out", help="Run directory; with --manifest, the folder to write.")] = o.DEFAULT_OUT,
        checkpoint: CheckpointOption = None, manifest: ManifestOption = None,
        name: Annotated[list[str] | None, typer.Option("--name", help="Of each manifest, in order; default: its folder's.")] = None,
        split: Annotated[str, typer.Option("--split", help="train, val, test, all, or auto: test where there is one.")] = "auto",
        threshold: ThresholdOption = "0.5",
        validation: Annotated[Path | None, typer.Option("--validation", help="Its val split fixes the threshold.")] = None,
        mode: Annotated[str, typer.Option("--mode", help="With --manifest: corrected or purdue.")] = "corrected",
        min_n: Annotated[int, typer.Option("--min-n", min=1, help="Fewest identities or videos of a group in a gap.")] = 5,
        replicates: Annotated[int, typer.Option("--replicates", min=0, help="Of the bootstrap; 0: no intervals.")] = 500,
        config: o.ConfigOption = None, set_: o.SetOption = None,
        workers: o.WorkersOption = None, executor: o.ExecutorOption = None, device: o.DeviceOption = None,
        shard: o.ShardOption = None, seed: o.SeedOption = None, limit: o.LimitOption = None,
        allow_short: o.ShortOption = False, dry_run: o.DryOption = False, fresh: o.FreshOption = False,
        json_: o.JsonOption = False, quiet: o.QuietOption = False,
    ) -> None:
        if not manifest and checkpoint is None:
            from pipeline.cli.stage_commands import perform

            shared = o.Shared(config, set_ or [], out, workers, shard, executor, device, seed, limit, allow_short)
            perform(shared, "evaluate", "evaluate", fresh=fresh, dry=dry_run, as_json=json_, quiet=quiet)
            return
        from typing import Literal, cast

        from manifests.errors import UsageError
        from manifests.watching import watch_by
        from pipeline.manifest_evaluation import evaluate_manifests
        from pipeline.measuring import Measure
        from pipeline.progress import Reporter

        if not manifest or checkpoint is None:
            raise UsageError("fairforge evaluate", "needs both --checkpoint and --manifest to score other data",
                             "fairforge evaluate --checkpoint D --manifest m/ffpp --out E")
        measure = Measure(cast(Literal["corrected", "purdue"], mode), min_n, replicates, seed or 0)
        reporter = Reporter(quiet=quiet)
        with reporter.work("evaluate"), watch_by(reporter.watch("evaluate")):
            value, text = evaluate_manifests(
                checkpoint, manifest, name or [], split, threshold, validation, measure, out, device or "cpu", reporter.line)
        o.emit(value, text, json_)
