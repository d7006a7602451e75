"""`fairforge talk`: talking faces, real and fake, in every cell."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from pipeline.cli import options as o
from pipeline.cli.cell_commands import PerCellOption

OUT = Path("runs/talk")


def add(app: typer.Typer) -> None:
    """Add the command to the app."""

    @app.command(
        "talk",
        help="Talking synthetic faces in every cell: clips in step, and fakes of them, with their manifest.",
    )
    def talk(
        out: o.OutOption = OUT,
        per_cell: PerCellOption = None,
        faces: Annotated[
            Path | None, typer.Option("--run", help="A run whose verified faces speak; default: new ones.")
        ] = None,
        methods: Annotated[
            list[str] | None,
            typer.Option(
                "--methods",
                help="A forgery of clips (repeatable): `fairforge list clip-forgeries`; default: all.",
            ),
        ] = None,
        seconds: Annotated[
            float, typer.Option("--seconds", min=1, max=60, help="Length of every clip.")
        ] = 3.0,
        size: Annotated[int, typer.Option("--size", min=64, max=1024, help="Side of a frame, pixels.")] = 128,
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
        from pipeline.commands.talking.command import make_talk, plan_talk
        from pipeline.commands.talking.stage import Talk
        from pipeline.engine.runner import Flags

        if limit is not None:
            o.refuse(
                "beside --limit", {"--per-cell": per_cell}, "give one of them: both name dataset.per_cell"
            )
        if config is None and not (out / "config.toml").is_file():
            own = faces / "config.toml" if faces is not None else None
            config = own if own is not None and own.is_file() else Path("configs/talk.toml")
        sets = [*(set_ or []), *o.shorthand(dataset__per_cell=per_cell)]
        run = o.Shared(config, sets, out, workers, shard, executor, device, seed, limit, allow_short).run()
        wanted, flags = Talk(tuple(methods or ()), seconds, size, {}, faces), Flags(fresh=fresh, shard=shard)
        if dry_run:
            o.emit(*plan_talk(run, wanted, flags), json_)
            return
        value, text = make_talk(run, wanted, flags, quiet=quiet)
        o.emit(value, text, json_)
