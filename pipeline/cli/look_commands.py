"""Commands that look and change nothing: plan, status, inspect, list, config, doctor, docs, weights list and
verify.
"""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from pipeline.cli import options as o
from pipeline.cli.places import file_place, folder_place
from pipeline.engine.registries import KINDS


class Explorer(StrEnum):
    """What `look` starts."""

    auto = "auto"
    spotlight = "spotlight"
    fiftyone = "fiftyone"
    none = "none"


def add(app: typer.Typer) -> None:
    """Add the looking commands to the app."""

    @app.command(help="What `run` would do now, stage by stage, and why.")
    def plan(
        out: o.OutOption = o.DEFAULT_OUT,
        config: o.ConfigOption = None,
        set_: o.SetOption = None,
        seed: o.SeedOption = None,
        limit: o.LimitOption = None,
        json_: o.JsonOption = False,
    ) -> None:
        from pipeline.cli.performing import plan_lines
        from pipeline.engine.runner import plan as make_plan

        plans = make_plan(o.Shared(config, set_ or [], out, seed=seed, limit=limit).run())
        o.emit([vars(p) for p in plans], plan_lines(plans), json_)

    @app.command(help="How far a run is, and its figures so far.")
    def status(
        out: o.OutOption = o.DEFAULT_OUT,
        watch: Annotated[
            bool, typer.Option("--watch", help="Show it again and again, until all is done.")
        ] = False,
        interval: Annotated[
            float,
            typer.Option("--interval", min=0.1, max=86400, help="Seconds between two looks of --watch."),
        ] = 5.0,
        json_: o.JsonOption = False,
    ) -> None:
        from pipeline.commands.run_status import status_of, watch_status

        if watch:
            watch_status(out, interval, lambda value, text: o.emit_again(value, text, json_))
        else:
            o.emit(*status_of(out), json_)

    @app.command(help="Everything known of one image of a run: its row, its pair, where it comes from.")
    def inspect(
        image_id: Annotated[str, typer.Argument(help="An image_id, or the beginning of one.")],
        out: o.OutOption = o.DEFAULT_OUT,
        json_: o.JsonOption = False,
    ) -> None:
        from pipeline.commands.inspection import inspect_image

        value, text = inspect_image(out, image_id)
        o.emit(value, text, json_)

    @app.command("list", help=f"What there is of a kind: {', '.join(KINDS)}.")
    def list_(kind: Annotated[str, typer.Argument(help="The kind.")], json_: o.JsonOption = False) -> None:
        from pipeline.commands.catalogue import list_kind

        value, text = list_kind(kind)
        o.emit(value, text, json_)

    @app.command(help="Is everything here that is needed? Versions, weights, processors, device, disk.")
    def doctor(out: o.OutOption = o.DEFAULT_OUT, json_: o.JsonOption = False) -> None:
        from pipeline.commands.doctor import examine

        value, text, healthy = examine(out)
        o.emit(value, text, json_)
        if not healthy:
            raise typer.Exit(3)

    @app.command(
        "contact-sheet", help="A picture of a dataset: cells side by side, real faces above their fakes."
    )
    def contact_sheet(
        manifest: Annotated[Path, typer.Argument(help="A manifest, or its folder.")],
        out: Annotated[
            Path, typer.Option("--out", callback=file_place, help="The PNG or JPEG file to write.")
        ],
        columns: Annotated[int, typer.Option("--columns", min=1, max=1000, help="Identities per cell.")] = 2,
        seed: Annotated[
            int, typer.Option("--seed", min=0, max=(1 << 63) - 1, help="Seed that chooses them.")
        ] = 2026,
    ) -> None:
        from pipeline.commands.inspection import write_contact_sheet

        o.emit(None, str(write_contact_sheet(manifest, out, columns, seed)), False)

    @app.command(
        help="The documentation: builds the site where it is missing or old, and opens it in a browser."
    )
    def docs(
        out: Annotated[Path, typer.Option("--out", callback=folder_place, help="Folder of the site.")] = Path(
            "site"
        ),
        open_: Annotated[
            bool,
            typer.Option(
                "--open/--no-open", help="Serve the site to this machine and open a browser, until Ctrl-C."
            ),
        ] = True,
        fresh: Annotated[bool, typer.Option("--fresh", help="Build the site although it is there.")] = False,
    ) -> None:
        from pipeline.commands.site.building import docs as show_docs

        o.emit(None, str(show_docs(out, fresh, open_)), False)

    _add_look(app)
    _add_config(app)


def _add_look(app: typer.Typer) -> None:
    @app.command(
        help=(
            "Opens a manifest or a run in an explorer: images beside the real one of their pair, masks,"
            " scores."
        )
    )
    def look(
        place: Annotated[Path, typer.Argument(help="A run's folder, a manifest, or its folder.")],
        out: Annotated[
            Path | None,
            typer.Option(
                "--out", callback=folder_place, help="Folder for the explorer's files; else `look` in PLACE."
            ),
        ] = None,
        scores: Annotated[
            Path | None, typer.Option("--scores", help="CSV or parquet with image_id and score.")
        ] = None,
        embeddings: Annotated[
            Path | None, typer.Option("--embeddings", help="Parquet with image_id and embedding.")
        ] = None,
        with_: Annotated[
            Explorer, typer.Option("--with", help="Which to start; none: only write.")
        ] = Explorer.auto,
        port: Annotated[
            int | None, typer.Option("--port", min=1, max=65535, help="Serve at this port of this machine.")
        ] = None,
        browser: Annotated[
            bool, typer.Option("--browser/--no-browser", help="Open a browser window.")
        ] = True,
        json_: o.JsonOption = False,
    ) -> None:
        from pipeline.commands.look import open_look

        value, text, opened = open_look(place, out, scores, embeddings, with_.value, port, browser)
        o.emit(value, text, json_)
        if opened is not None and opened():
            raise typer.Exit(1)


def _add_config(app: typer.Typer) -> None:
    config_app = typer.Typer(
        no_args_is_help=True, help="Show or check a configuration.", rich_markup_mode=None
    )
    app.add_typer(config_app, name="config")

    @config_app.command(help="Every key with its value, as TOML.")
    def show(config: o.ConfigOption = None, set_: o.SetOption = None, json_: o.JsonOption = False) -> None:
        from pipeline.engine.config_file import dump_config, load_config, values_of

        loaded = load_config(config, set_ or [])
        o.emit(values_of(loaded), dump_config(loaded).rstrip(), json_)

    @config_app.command(
        help="Every key with its type, default and meaning, as Markdown: docs/configuration.md."
    )
    def reference(json_: o.JsonOption = False) -> None:
        from pipeline.commands.config_reference import as_markdown, keys

        found = keys()
        o.emit([vars(key) for key in found], as_markdown(found).rstrip(), json_)

    @config_app.command(help="All errors of a configuration at once; exit 2 when there are some.")
    def validate(
        config: Annotated[Path, typer.Argument(help="A TOML file.")], set_: o.SetOption = None
    ) -> None:
        from pipeline.engine.config_file import load_config

        load_config(config, set_ or [])
        o.emit(None, f"{config}: no errors", False)
