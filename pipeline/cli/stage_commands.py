"""The stage verbs and `run`: each brings its stage (or a range of stages) to its end in a run directory."""

from __future__ import annotations

from typing import Annotated

import typer

from pipeline.cli import audit_command, evaluate_command, forge_command, release_command, train_command
from pipeline.cli import options as o
from pipeline.cli.performing import OWN_FLAGS, VERBS, perform


def _add_verb(app: typer.Typer, verb: str, stage: str, text: str) -> None:
    @app.command(verb, help=text)
    def command(
        out: o.OutOption = o.DEFAULT_OUT,
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
        shared = o.Shared(config, set_ or [], out, workers, shard, executor, device, seed, limit, allow_short)
        perform(shared, stage, stage, fresh=fresh, dry=dry_run, as_json=json_, quiet=quiet)


def add(app: typer.Typer) -> None:
    """Add `run` and the stage verbs to the app."""

    @app.command("run", help="Run the stages in order, from --from to --to; what is done is not done again.")
    def run_command(
        out: o.OutOption = o.DEFAULT_OUT,
        config: o.ConfigOption = None,
        set_: o.SetOption = None,
        from_: Annotated[str | None, typer.Option("--from", help="First stage.")] = None,
        to: Annotated[str | None, typer.Option("--to", help="Last stage.")] = None,
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
        shared = o.Shared(config, set_ or [], out, workers, shard, executor, device, seed, limit, allow_short)
        perform(shared, from_, to, fresh=fresh, dry=dry_run, as_json=json_, quiet=quiet)

    for verb, (stage, text) in VERBS.items():
        if verb == "forge":
            forge_command.add(app)
        elif verb == "audit":
            audit_command.add(app)
        elif verb == "evaluate":
            evaluate_command.add(app)
        elif verb == "train":
            train_command.add(app)
        elif verb == "release":
            release_command.add(app)
        elif verb not in OWN_FLAGS:
            _add_verb(app, verb, stage, text)
