"""Commands that measure faces: generator-metrics, measure-looks for cells.looks, and identity-index for what
verify compares faces with.
"""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer

from pipeline.cli import options as o
from pipeline.cli.places import file_place

FACES = "a folder of images, a parquet file of aligned faces, or a manifest"
FilterOption = Annotated[
    list[str] | None,
    typer.Option("--filter", help="Filter of a parquet file, key=value: see the fairface-parquet adapter."),
]
CleanOption = Annotated[
    bool, typer.Option("--clean", help="Clear, frontal, sharp faces of age 10 and over alone (parquet).")
]

DrawsOption = Annotated[
    int | None,
    typer.Option("--cell-draws", min=8, max=1_000_000, help="Draws per cell of --cells (default 64)."),
]
StrengthOption = Annotated[
    float | None,
    typer.Option("--strength", min=0, max=3, help="Of the cells of --cells: sample.strength (default 1.5)."),
]
StrategyOption = Annotated[
    str | None,
    typer.Option("--strategy", help="How --cells are drawn from: sample.strategy (default projection)."),
]
BalanceOption = Annotated[
    str | None,
    typer.Option(
        "--balance", help="Taxonomy: its cells have equally many real faces in each reference (parquet)."
    ),
]


class CropKind(StrEnum):
    """How pictures become aligned faces."""

    whole = "whole"
    detect = "detect"


def filters_of(clean: bool, texts: list[str] | None) -> dict[str, Any]:
    """Filters of a parquet file out of `--clean` and `--filter`."""
    from pipeline.engine.config_file import parse_set
    from pipeline.faces.sources import CLEAN

    given = {".".join(path): value for path, value in map(parse_set, texts or [])}
    return {**(CLEAN if clean else {}), **given}


def add(app: typer.Typer) -> None:
    """Add the measuring commands to the app."""

    @app.command(
        "generator-metrics", help="Measure a generator against real faces: KID, FID, variety, memorisation."
    )
    def generator_metrics(
        data: Annotated[Path, typer.Option("--data", help=f"Real faces, those it was trained on: {FACES}.")],
        generator: Annotated[
            str, typer.Option("--generator", help="Name (`fairforge list generators`) or file.")
        ] = "starter64",
        held_out: Annotated[
            Path | None, typer.Option("--held-out", help="Real faces it was not trained on, same kind.")
        ] = None,
        count: Annotated[
            int, typer.Option("--count", min=1, max=10_000_000, help="Faces to generate.")
        ] = 2000,
        out: Annotated[
            Path | None, typer.Option("--out", callback=file_place, help="JSON file to write.")
        ] = None,
        space: Annotated[
            str, typer.Option("--space", help="Features: see `fairforge list feature-spaces`.")
        ] = "attributes",
        space_set: Annotated[
            list[str] | None, typer.Option("--space-set", help="Parameter of the space, key=value.")
        ] = None,
        resolution: Annotated[
            int | None,
            typer.Option("--resolution", min=8, max=4096, help="Common side in pixels; default: the data's."),
        ] = None,
        crop: Annotated[
            CropKind, typer.Option("--crop", help="whole: pictures are aligned; detect: find faces.")
        ] = CropKind.whole,
        references: Annotated[
            int,
            typer.Option("--references", min=0, max=10_000_000, help="Most real faces of each kind; 0: all."),
        ] = 2000,
        identities: Annotated[
            int,
            typer.Option(
                "--identities", min=0, max=10_000_000, help="Most faces of a kind to embed; 0: all."
            ),
        ] = 500,
        cells: Annotated[
            Path | None, typer.Option("--cells", help="A cell model, file or name: its hit rates and looks.")
        ] = None,
        cell_draws: DrawsOption = None,
        psi: Annotated[float, typer.Option("--psi", min=0, max=2, help="Truncation: 1 is none.")] = 1.0,
        strength: StrengthOption = None,
        strategy: StrategyOption = None,
        clean: CleanOption = False,
        filter_: FilterOption = None,
        balance: BalanceOption = None,
        device: o.ModelDeviceOption = "cpu",
        seed: Annotated[
            int, typer.Option("--seed", min=0, max=(1 << 63) - 1, help="Seed of what is drawn.")
        ] = 2026,
        json_: o.JsonOption = False,
        quiet: o.QuietOption = False,
    ) -> None:
        from pipeline.commands.generators.metric_settings import MetricSettings
        from pipeline.commands.generators.metrics import measure_generator
        from pipeline.engine.config_file import parse_set
        from pipeline.engine.progress import Reporter

        if cells is None:
            o.refuse(
                "without --cells",
                {"--cell-draws": cell_draws, "--strength": strength, "--strategy": strategy},
                "leave it out, or name a cell model",
            )
        given: dict[str, Any] = {"cell_draws": cell_draws, "strength": strength, "strategy": strategy}
        params = {".".join(path): value for path, value in map(parse_set, space_set or [])}
        settings = MetricSettings(
            generator=generator,
            data=data,
            held_out=held_out,
            count=count,
            references=references,
            identities=identities,
            space=space,
            space_params=params,
            resolution=resolution,
            crop=crop.value,
            filters=filters_of(clean, filter_),
            balance=balance,
            cells=cells,
            psi=psi,
            seed=seed,
            device=device,
            **{name: value for name, value in given.items() if value is not None},
        )
        value, text = measure_generator(settings, Reporter(quiet=quiet), out)
        o.emit(value, text, json_)

    @app.command(
        "measure-looks",
        help="How photographs of each cell look, for cells.looks of a configuration.",
    )
    def measure_looks(
        data: Annotated[
            list[Path],
            typer.Option("--data", help="Parquet file of aligned faces with race and gender (repeatable)."),
        ],
        measures: Annotated[
            str, typer.Option("--measures", help="Of brightness, contrast, sharpness; comma-separated.")
        ] = "brightness,sharpness",
        taxonomy: Annotated[
            str, typer.Option("--taxonomy", help="The cells: see `fairforge list taxonomies`.")
        ] = "fairface4",
        resolution: Annotated[
            int | None,
            typer.Option("--resolution", min=16, max=2048, help="The generator's side; default: the data's."),
        ] = None,
        clean: CleanOption = False,
        filter_: FilterOption = None,
        out: Annotated[
            Path | None, typer.Option("--out", callback=file_place, help="TOML file to write.")
        ] = None,
        json_: o.JsonOption = False,
    ) -> None:
        from pipeline.commands.generators.photograph_looks import measure_looks

        value, text = measure_looks(
            data,
            [name.strip() for name in measures.split(",")],
            taxonomy=taxonomy,
            filters=filters_of(clean, filter_),
            resolution=resolution,
            out=out,
        )
        o.emit(value, text, json_)

    @app.command("identity-index", help="Embed real faces into an index that verify.training_index can name.")
    def identity_index(
        data: Annotated[Path, typer.Option("--data", help=f"The faces: {FACES}.")],
        out: Annotated[Path, typer.Option("--out", callback=file_place, help="The index to write.")],
        resolution: Annotated[
            int | None,
            typer.Option("--resolution", min=16, max=4096, help="Bring pictures to this side first."),
        ] = None,
        limit: Annotated[
            int | None, typer.Option("--limit", min=1, max=10_000_000, help="Most faces, chosen by the seed.")
        ] = None,
        clean: CleanOption = False,
        filter_: FilterOption = None,
        device: o.ModelDeviceOption = "cpu",
        seed: Annotated[
            int, typer.Option("--seed", min=0, max=(1 << 63) - 1, help="Seed of what is drawn.")
        ] = 2026,
        json_: o.JsonOption = False,
        quiet: o.QuietOption = False,
    ) -> None:
        from pipeline.commands.identities.index import build_index
        from pipeline.engine.progress import Reporter

        value, text = build_index(
            data,
            out,
            filters=filters_of(clean, filter_),
            resolution=resolution,
            limit=limit,
            seed=seed,
            device=device,
            reporter=Reporter(quiet=quiet),
        )
        o.emit(value, text, json_)
