"""`fairforge evaluate`: the stage of a run, or any detector on any manifests where `--manifest` is given."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from pipeline.cli import options as o
from pipeline.cli.places import folder_place

HELP = (
    "Score the datasets of a run and measure fairness; or, with --manifest, any detector on any datasets: "
    "--checkpoint D --manifest m/ffpp --manifest m/celebdf --threshold val-eer --out E."
)
ManifestOption = Annotated[
    list[Path] | None, typer.Option("--manifest", help="A manifest, or its folder (repeatable).")
]
CheckpointOption = Annotated[
    Path | None, typer.Option("--checkpoint", help="A detector: its file, its folder, or a name.")
]
ThresholdOption = Annotated[
    str | None,
    typer.Option(
        "--threshold", help="evaluate.threshold: a number, val-eer, or val-fpr@0.05 by validation scores."
    ),
]
SplitOption = Annotated[
    str | None,
    typer.Option(
        "--split", help="With --manifest: train, val, test, all, or auto (default): test where there is one."
    ),
]
ValidationOption = Annotated[
    Path | None, typer.Option("--validation", help="With --manifest: its val split fixes the threshold.")
]
NameOption = Annotated[
    list[str] | None, typer.Option("--name", help="Of each --manifest, in order; default: its folder's.")
]
ModeOption = Annotated[str | None, typer.Option("--mode", help="evaluate.mode: corrected or purdue.")]
MinOption = Annotated[
    int | None,
    typer.Option(
        "--min-n",
        min=1,
        max=10_000_000,
        help="evaluate.min_n: fewest identities or videos of a group in a gap.",
    ),
]
ReplicatesOption = Annotated[
    int | None,
    typer.Option(
        "--replicates", min=0, max=100_000, help="evaluate.replicates; with --manifest 0: no intervals."
    ),
]
TiesOption = Annotated[
    str | None,
    typer.Option("--ties", help="evaluate.ties: random (an exact level by a seeded draw), or mid."),
]
ALONE: dict[str, Any] = {"run": {"seed": 0}, "evaluate": {"threshold": "0.5"}}
"""The configuration of an evaluation outside a run, where --config gives none."""


def add(app: typer.Typer) -> None:
    """Add `evaluate` to the app."""

    @app.command("evaluate", help=HELP)
    def evaluate(
        out: Annotated[
            Path,
            typer.Option(
                "--out", callback=folder_place, help="Run directory; with --manifest, the folder to write."
            ),
        ] = o.DEFAULT_OUT,
        checkpoint: CheckpointOption = None,
        manifest: ManifestOption = None,
        name: NameOption = None,
        split: SplitOption = None,
        threshold: ThresholdOption = None,
        validation: ValidationOption = None,
        mode: ModeOption = None,
        min_n: MinOption = None,
        replicates: ReplicatesOption = None,
        ties: TiesOption = None,
        config: o.ConfigOption = None,
        set_: o.SetOption = None,
        workers: o.WorkersOption = None,
        executor: o.ExecutorOption = None,
        device: o.DeviceOption = None,
        shard: o.ShardOption = None,
        seed: o.SeedOption = None,
        limit: o.LimitOption = None,
        allow_short: o.ShortOption = False,
        dry_run: o.DryOption = False,
        fresh: o.FreshOption = False,
        json_: o.JsonOption = False,
        quiet: o.QuietOption = False,
    ) -> None:
        from manifests.errors import UsageError
        from pipeline.cli.options import shorthand
        from pipeline.cli.performing import perform

        sets = [
            *(set_ or []),
            *shorthand(
                evaluate__threshold=threshold,
                evaluate__mode=mode,
                evaluate__min_n=min_n,
                evaluate__ties=ties,
            ),
        ]
        if not manifest and checkpoint is None:
            o.refuse(
                "in a run, whose datasets it scores",
                {"--name": name, "--split": split, "--validation": validation},
                "give --checkpoint and --manifest, or leave it out",
            )
            sets += shorthand(evaluate__replicates=replicates)
            shared = o.Shared(config, sets, out, workers, shard, executor, device, seed, limit, allow_short)
            perform(shared, "evaluate", "evaluate", fresh=fresh, dry=dry_run, as_json=json_, quiet=quiet)
            return
        if not manifest or checkpoint is None:
            raise UsageError(
                "fairforge evaluate",
                "needs both --checkpoint and --manifest to score other data",
                "fairforge evaluate --checkpoint D --manifest m/ffpp --out E",
            )
        o.refuse(
            "with --manifest",
            {"--executor": executor, "--shard": shard, "--limit": limit, "--allow-short": allow_short},
            "leave it out: this scores outside a run",
        )
        shared = o.Shared(config, sets, out, workers, device=device, seed=seed)
        _alone(
            shared,
            checkpoint,
            manifest,
            name or [],
            split or "auto",
            validation,
            replicates,
            fresh=fresh,
            dry=dry_run,
            json_=json_,
            quiet=quiet,
        )


def _alone(
    shared: o.Shared,
    checkpoint: Path,
    manifests: list[Path],
    names: list[str],
    split: str,
    validation: Path | None,
    replicates: int | None,
    *,
    fresh: bool,
    dry: bool,
    json_: bool,
    quiet: bool,
) -> None:
    """Score manifests outside a run. How: `[evaluate]` of --config, then --set, then the flags."""
    from manifests.watching import watch_by
    from pipeline.commands.evaluate.manifests import Request, evaluate_manifests, plan_evaluation
    from pipeline.engine.config_file import load_config
    from pipeline.engine.progress import Reporter
    from pipeline.stages.evaluate.floors import Floors
    from pipeline.stages.evaluate.measuring import Measure

    o.only_sections("in an evaluation outside a run", shared.sets, ("evaluate", "run", "execute"))
    config = load_config(shared.config, shared.assignments(), ALONE)
    how, execute = config.evaluate, config.execute
    request = Request(checkpoint, manifests, names, split, how.threshold, validation, shared.out)
    made: tuple[Any, str]
    if dry:
        made = plan_evaluation(request, execute.device, fresh=fresh)
    else:
        drawn = how.replicates if replicates is None else replicates
        reporter = Reporter(quiet=quiet)
        with reporter.work("evaluate"), watch_by(reporter.watch("evaluate")):
            made = evaluate_manifests(
                request,
                Measure(how.mode, how.min_n, drawn, config.run.seed, how.ties),
                Floors(how.floors, how.previous),
                device=execute.device,
                workers=execute.workers,
                digests=execute.compares("whole"),
                fresh=fresh,
                say=reporter.line,
            )
    o.emit(made[0], made[1], json_)
