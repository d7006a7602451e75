"""`fairforge forge`: the stage, or one fake of one photograph where `--target` is given."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from manifests.escaping import multiline
from pipeline.cli import options as o
from pipeline.cli.places import any_place

HELP = (
    "Make fakes of the accepted faces of a run; or, with --target, one fake of any photograph: "
    "--source a.jpg --target b.jpg --method swap-delaunay --out c.png."
)
TargetOption = Annotated[Path | None, typer.Option("--target", help="A photograph to make one fake of.")]
SourceOption = Annotated[
    Path | None,
    typer.Option("--source", "--driver", help="The photograph that gives identity or motion."),
]
MethodOption = Annotated[
    str | None, typer.Option("--method", help="With --target: see `fairforge list forgeries`.")
]


def add(app: typer.Typer) -> None:
    """Add `forge` to the app."""

    @app.command("forge", help=HELP)
    def forge(
        out: Annotated[
            Path,
            typer.Option(
                "--out", callback=any_place, help="Run directory; with --target, the PNG file to write."
            ),
        ] = o.DEFAULT_OUT,
        target: TargetOption = None,
        source: SourceOption = None,
        method: MethodOption = None,
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
        if target is not None or source is not None or method is not None:
            o.refuse(
                "with --target",
                {
                    "--workers": workers,
                    "--executor": executor,
                    "--shard": shard,
                    "--limit": limit,
                    "--allow-short": allow_short,
                    "--fresh": fresh,
                },
                "leave it out: this makes one picture, outside a run",
            )
            _one(shared, target, source, method, dry=dry_run, as_json=json_, quiet=quiet)
            return
        from pipeline.cli.performing import perform

        perform(shared, "forge", "forge", fresh=fresh, dry=dry_run, as_json=json_, quiet=quiet)


def _one(
    shared: o.Shared,
    target: Path | None,
    source: Path | None,
    method: str | None,
    *,
    dry: bool,
    as_json: bool,
    quiet: bool,
) -> None:
    from manifests.errors import UsageError
    from pipeline.commands.forge import forge_photograph, plan_photograph
    from pipeline.engine.config_file import load_config
    from pipeline.engine.executors import check_device, one_thread

    if target is None or method is None:
        raise UsageError(
            "fairforge forge",
            "needs both --target and --method to make one fake",
            "fairforge forge --source a.jpg --target b.jpg --method swap-delaunay --out c.png",
        )
    o.only_sections("where one picture is made", shared.sets, ("forge", "verify", "run", "execute"))
    config = load_config(shared.config, shared.assignments())
    check_device(config.execute.device)
    if dry:
        value, text = plan_photograph(config, target, source, method, shared.out)
        o.emit(value, text, as_json)
        return
    one_thread()
    lineage = forge_photograph(config, target, source, method, shared.out)
    o.emit(lineage, str(shared.out), as_json)
    if not quiet:
        mask, sidecar = shared.out.with_suffix(".mask.png"), shared.out.with_suffix(".json")
        sys.stderr.write(
            multiline(
                f"made {shared.out}, {mask} and {sidecar}; next: fairforge predict {shared.out} --checkpoint"
                " FILE\n"
            )
        )
