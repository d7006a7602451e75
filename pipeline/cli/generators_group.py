"""`fairforge generators`: generators beside each other, and their mean."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from pipeline.cli import options as o
from pipeline.cli.measure_commands import FACES, BalanceOption, CleanOption, FilterOption, filters_of
from pipeline.cli.places import file_place, folder_place

COUNTS = 500
IDENTITIES = 150
"""Of a comparison by default: two generators of 128 px take some minutes on one core."""


def add(app: typer.Typer) -> None:
    """Add the group to the app."""
    group = typer.Typer(
        no_args_is_help=True,
        rich_markup_mode=None,
        help="Generators beside each other: compare, score, average.",
    )
    app.add_typer(group, name="generators")
    _add_compare(group)
    _add_score(group)
    _add_average(group)


def _add_compare(group: typer.Typer) -> None:
    @group.command(
        "compare",
        help="Two or more generators on the same real faces: one table, and a sheet of unselected faces.",
    )
    def compare(
        generators: Annotated[
            list[str], typer.Argument(help="Names (`fairforge list generators`) or files, two or more.")
        ],
        data: Annotated[
            Path, typer.Option("--data", help=f"Real faces, those they were trained on: {FACES}.")
        ],
        out: Annotated[
            Path, typer.Option("--out", callback=folder_place, help="Folder to write; run again to go on.")
        ],
        held_out: Annotated[
            Path | None, typer.Option("--held-out", help="Real faces none was trained on, same kind.")
        ] = None,
        spaces: Annotated[
            str | None,
            typer.Option(
                "--spaces",
                help="Feature spaces, comma-separated; default: attributes,efficientnet_lite0,identity, those"
                " that are installed.",
            ),
        ] = None,
        blind: Annotated[
            bool, typer.Option("--blind", help="A sheet of generated and real faces, shuffled, with its key.")
        ] = False,
        tiles: Annotated[
            int | None,
            typer.Option("--tiles", min=4, max=1000, help="Faces of each kind on it (default 64)."),
        ] = None,
        count: Annotated[
            int, typer.Option("--count", min=1, max=10_000_000, help="Faces to generate.")
        ] = COUNTS,
        references: Annotated[
            int,
            typer.Option("--references", min=0, max=10_000_000, help="Most real faces of each kind; 0: all."),
        ] = COUNTS,
        identities: Annotated[
            int,
            typer.Option(
                "--identities", min=0, max=10_000_000, help="Most faces of a kind to embed; 0: all."
            ),
        ] = IDENTITIES,
        resolution: Annotated[
            int | None,
            typer.Option("--resolution", min=8, max=4096, help="Common side in pixels; default: the data's."),
        ] = None,
        psi: Annotated[float, typer.Option("--psi", min=0, max=2, help="Truncation: 1 is none.")] = 1.0,
        clean: CleanOption = False,
        filter_: FilterOption = None,
        balance: BalanceOption = None,
        device: o.ModelDeviceOption = "cpu",
        seed: Annotated[
            int, typer.Option("--seed", min=0, max=(1 << 63) - 1, help="Seed of what is drawn.")
        ] = 2026,
        fresh: Annotated[bool, typer.Option("--fresh", help="Measure again what was measured.")] = False,
        json_: o.JsonOption = False,
        quiet: o.QuietOption = False,
    ) -> None:
        from pipeline.commands.generators.comparison import compare_generators
        from pipeline.commands.generators.metric_settings import MetricSettings
        from pipeline.engine.progress import Reporter

        if not blind:
            o.refuse("without --blind", {"--tiles": tiles}, "leave it out, or add --blind")
        settings = MetricSettings(
            generator=generators[0],
            data=data,
            held_out=held_out,
            count=count,
            references=references,
            identities=identities,
            resolution=resolution,
            filters=filters_of(clean, filter_),
            balance=balance,
            psi=psi,
            seed=seed,
            device=device,
        )
        named = None if spaces is None else [name.strip() for name in spaces.split(",")]
        value, text = compare_generators(
            generators,
            settings,
            out,
            spaces=named,
            blind=(tiles or 64) if blind else None,
            fresh=fresh,
            reporter=Reporter(quiet=quiet),
        )
        o.emit(value, text, json_)


def _add_score(group: typer.Typer) -> None:
    @group.command("score", help="How well somebody told generated from real faces on a blind sheet.")
    def score(
        answers: Annotated[Path, typer.Argument(help="CSV with columns tile and answer: real or generated.")],
        key: Annotated[Path, typer.Option("--key", help="key.csv of the sheet.")],
        json_: o.JsonOption = False,
    ) -> None:
        from pipeline.commands.generators.comparison_sheets import score_answers

        value, text = score_answers(answers, key)
        o.emit(value, text, json_)


def _add_average(group: typer.Typer) -> None:
    @group.command("average", help="The mean of the weights of several stages or snapshots of one training.")
    def average(
        generators: Annotated[
            list[str],
            typer.Argument(help="Names, files, or folders of training runs; one or more, of the same sizes."),
        ],
        out: Annotated[
            Path, typer.Option("--out", callback=file_place, help="The generator to write, .safetensors.")
        ],
        half: Annotated[
            bool, typer.Option("--half", help="Store it in half precision; the change is reported.")
        ] = False,
        json_: o.JsonOption = False,
    ) -> None:
        from pipeline.commands.generators.averaging import average_generators

        value, text = average_generators(generators, out, half=half)
        o.emit(value, text, json_)
