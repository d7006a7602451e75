"""`fairforge audit`: the stage of a run, or the audits of any manifest that is named."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from pipeline.cli import options as o
from pipeline.cli.places import folder_place

HELP = (
    "Look for shortcuts, leaks, duplicates and imbalance in a run's dataset, or in any manifest: fairforge"
    " audit m/clips."
)


def add(app: typer.Typer) -> None:
    """Add `audit` to the app."""

    @app.command("audit", help=HELP)
    def audit(
        manifest: Annotated[
            Path | None, typer.Argument(help="A manifest, or its folder; default: the run's dataset.")
        ] = None,
        out: Annotated[
            Path | None,
            typer.Option(
                "--out", callback=folder_place, help="Run directory; with a manifest, folder for audit.json."
            ),
        ] = None,
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
        from manifests.errors import EXIT_GATE
        from pipeline.cli.performing import perform
        from pipeline.commands.audit import audit_file
        from pipeline.engine.config_file import load_config

        if manifest is None:
            shared = o.Shared(
                config,
                set_ or [],
                out or o.DEFAULT_OUT,
                workers,
                shard,
                executor,
                device,
                seed,
                limit,
                allow_short,
            )
            perform(shared, "audit", "audit", fresh=fresh, dry=dry_run, as_json=json_, quiet=quiet)
            return
        o.refuse(
            "with a manifest",
            {
                "--workers": workers,
                "--executor": executor,
                "--device": device,
                "--shard": shard,
                "--limit": limit,
                "--allow-short": allow_short,
                "--dry-run": dry_run,
                "--fresh": fresh,
            },
            "leave it out: this looks at one manifest",
        )
        shared = o.Shared(config, set_ or [], out or o.DEFAULT_OUT, seed=seed)
        o.only_sections("in an audit outside a run", shared.sets, ("audit", "run"))
        report, text, passed = audit_file(
            manifest, out, load_config(config, shared.assignments()), quiet=quiet
        )
        o.emit(report, text, json_)
        if not passed:
            raise typer.Exit(EXIT_GATE)
