"""`train`: the stage of a run, or with `--manifest` a training on any manifest; alone or under torchrun."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any

import typer

from manifests.environment import environment
from pipeline.cli import options as o

HELP = (
    "Train a detector: on a run's dataset, or with --manifest on any; `torchrun -m pipeline train --manifest"
    " ...` in processes."
)


def _values(given: dict[str, Any], heads: str | None) -> dict[str, Any]:
    values = {key: value for key, value in given.items() if value is not None}
    if heads is not None:
        values["heads"] = [
            name.strip() for name in heads.split(",") if name.strip() and name.strip() != "none"
        ]
    return values


def _weights(text: str) -> str:
    """`blend-self=2,swap-delaunay` as the TOML table of weights per method; 1 where none is given."""
    from manifests.errors import UsageError

    pairs = []
    for part in filter(None, (one.strip() for one in text.split(","))):
        name, _, weight = part.partition("=")
        try:
            pairs.append(f"{json.dumps(name.strip())} = {float(weight or 1)}")
        except ValueError:
            raise UsageError(
                f"--online {text}",
                f"{part!r} is not METHOD or METHOD=WEIGHT",
                "write for example --online blend-self=2,swap-delaunay",
            ) from None
    return "{" + ", ".join(pairs) + "}"


def _alone(
    shared: o.Shared,
    manifest: Path,
    track: list[str] | None,
    *,
    fresh: bool,
    dry: bool,
    json_: bool,
    quiet: bool,
) -> None:
    """Train outside a run. The settings: `[train]` of --config, then --set, then the flags."""
    from pipeline.engine.config_file import load_config
    from pipeline.stages.train.manifest_training import plan_training, train_detector

    o.only_sections("in a training outside a run", shared.sets, ("train", "run", "execute"))
    config = load_config(shared.config, shared.assignments())
    execute = config.execute
    made: tuple[Any, str]
    if dry:
        made = plan_training(manifest, shared.out, config.training(), device=execute.device, fresh=fresh)
    else:
        made = train_detector(
            manifest,
            shared.out,
            config.training(),
            device=execute.device,
            workers=execute.workers,
            track=track or (),
            fresh=fresh,
            quiet=quiet,
            digests=execute.compares("whole"),
        )
    if environment().leads:
        o.emit(made[0], made[1], json_)


def add(app: typer.Typer) -> None:
    """Add the command to the app."""

    @app.command(help=HELP)
    def train(
        out: o.OutOption = o.DEFAULT_OUT,
        config: o.ConfigOption = None,
        set_: o.SetOption = None,
        manifest: Annotated[
            Path | None, typer.Option("--manifest", help="Train on this manifest, outside a run.")
        ] = None,
        backbone: Annotated[str | None, typer.Option("--backbone", help="A preset or a timm name.")] = None,
        pretrained: Annotated[
            str | None, typer.Option("--pretrained", help="Weights of the backbone: a file or a name.")
        ] = None,
        start: Annotated[str | None, typer.Option("--start", help="A detector to go on from.")] = None,
        loss: Annotated[str | None, typer.Option("--loss", help="See `fairforge list losses`.")] = None,
        optimizer: Annotated[
            str | None, typer.Option("--optimizer", help="sam, asam, gsam, sgd or adamw.")
        ] = None,
        heads: Annotated[
            str | None, typer.Option("--heads", help="Demographic heads: race,gender; or none.")
        ] = None,
        tune: Annotated[str | None, typer.Option("--tune", help="all, norms or head.")] = None,
        online: Annotated[
            str | None,
            typer.Option(
                "--online",
                help="Fakes drawn anew at every step: METHOD[=WEIGHT],...",
            ),
        ] = None,
        epochs: Annotated[
            int | None, typer.Option("--epochs", min=1, max=100_000, help="Passes over the training images.")
        ] = None,
        batch: Annotated[
            int | None, typer.Option("--batch", min=2, max=65_536, help="Images per step, of all processes.")
        ] = None,
        track: o.TrackOption = None,
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
        from pipeline.cli.performing import perform

        given = {
            "backbone": backbone,
            "pretrained": pretrained,
            "start": start,
            "loss": loss,
            "optimizer": optimizer,
            "tune": tune,
            "epochs": epochs,
            "batch": batch,
        }
        values = _values(given, heads)
        if manifest is not None and seed is not None:
            values["seed"] = seed
        sets = [*(set_ or []), *(f"train.{key}={json.dumps(value)}" for key, value in values.items())]
        if online is not None:
            sets.append(f"train.online={_weights(online)}")
        if manifest is not None:
            o.refuse(
                "with --manifest",
                {"--executor": executor, "--shard": shard, "--limit": limit, "--allow-short": allow_short},
                "leave it out: this is one training outside a run",
            )
            _alone(
                o.Shared(config, sets, out, workers=workers, device=device),
                manifest,
                track,
                fresh=fresh,
                dry=dry_run,
                json_=json_,
                quiet=quiet,
            )
            return
        if (environment().processes or 1) > 1:
            raise UsageError(
                "several processes", "train outside a run only", "give --manifest DATASET/manifest.parquet"
            )
        o.refuse("in a run", {"--track": track}, "give --manifest, or leave it out")
        shared = o.Shared(config, sets, out, workers, shard, executor, device, seed, limit, allow_short)
        perform(shared, "train", "train", fresh=fresh, dry=dry_run, as_json=json_, quiet=quiet)
