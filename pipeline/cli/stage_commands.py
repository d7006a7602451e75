"""The stage verbs and `run`: each brings its stage (or a range of stages) to its end in a run directory."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from pipeline.cli import audit_command, evaluate_command, forge_command, release_command, train_command
from pipeline.cli import cluster_options as c
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
        device: o.AnyDeviceOption = None,
        ray_address: c.AddressOption = None,
        gpus_per_worker: c.GpusOption = None,
        slurm_cluster: c.ClusterOption = None,
        partition: c.PartitionOption = None,
        time: c.TimeOption = None,
        gres: c.GresOption = None,
        detach: c.DetachOption = False,
        shard: o.ShardOption = None,
        seed: o.SeedOption = None,
        limit: o.LimitOption = None,
        allow_short: o.ShortOption = False,
        dry_run: o.DryOption = False,
        fresh: o.FreshOption = False,
        json_: o.JsonOption = False,
        quiet: o.QuietOption = False,
    ) -> None:
        sets = [
            *(set_ or []),
            *c.assignments(ray_address, gpus_per_worker, slurm_cluster, partition, time, gres, detach),
        ]
        shared = o.Shared(config, sets, out, workers, shard, executor, device, seed, limit, allow_short)
        perform(shared, from_, to, fresh=fresh, dry=dry_run, as_json=json_, quiet=quiet)

    @app.command(help="Do the shards again that failed, and no other; their logs are shown first.")
    def retry(
        out: o.OutOption = o.DEFAULT_OUT,
        workers: o.WorkersOption = None,
        executor: o.ExecutorOption = None,
        device: o.AnyDeviceOption = None,
        set_: o.SetOption = None,
        dry_run: o.DryOption = False,
        json_: o.JsonOption = False,
        quiet: o.QuietOption = False,
    ) -> None:
        from pipeline.commands import retrying
        from pipeline.engine.executors import check_place
        from pipeline.engine.progress import Reporter

        run = o.Shared(None, set_ or [], out, workers, None, executor, device).run()
        check_place(run.config.execute)
        if dry_run:
            o.emit(*retrying.failures_of(run), json_)
        else:
            o.emit(*retrying.retry_failed(run, Reporter(quiet=quiet), sys.argv[1:]), json_)

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
