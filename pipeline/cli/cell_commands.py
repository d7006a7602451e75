"""The verbs `fit-cells` and `sample`, with short flags for what one asks of cells most often."""

from __future__ import annotations

from typing import Annotated

import typer

from pipeline.cli import options as o
from pipeline.cli.options import shorthand
from pipeline.cli.performing import perform

GeneratorOption = Annotated[
    str | None, typer.Option("--generator", help="cells.generator: see `fairforge list generators`.")
]
TaxonomyOption = Annotated[
    str | None, typer.Option("--taxonomy", help="dataset.taxonomy: see `fairforge list taxonomies`.")
]
StrategyOption = Annotated[
    str | None, typer.Option("--strategy", help="sample.strategy: `fairforge list strategies`.")
]
PerCellOption = Annotated[
    int | None,
    typer.Option("--per-cell", min=1, max=10_000_000, help="dataset.per_cell: identities per cell."),
]
OnlyOption = Annotated[
    list[str] | None, typer.Option("--only", help="dataset.only: a cell, e.g. Black-Female (repeatable).")
]
CellModelOption = Annotated[
    str | None, typer.Option("--cell-model", help="sample.cell_model: cells fitted in another run.")
]
CounterfactualOption = Annotated[
    bool | None,
    typer.Option(
        "--counterfactual/--independent", help="sample.counterfactual: the same face under every cell."
    ),
]


def add(app: typer.Typer) -> None:
    """Add the two verbs to the app."""

    @app.command("fit-cells", help="Label latents and fit one density per demographic cell.")
    def fit_cells(
        out: o.OutOption = o.DEFAULT_OUT,
        config: o.ConfigOption = None,
        set_: o.SetOption = None,
        generator: GeneratorOption = None,
        taxonomy: TaxonomyOption = None,
        only: OnlyOption = None,
        strategy: StrategyOption = None,
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
        sets = shorthand(
            cells__generator=generator,
            dataset__taxonomy=taxonomy,
            dataset__only=only or None,
            sample__strategy=strategy,
        )
        shared = o.Shared(
            config, [*(set_ or []), *sets], out, workers, shard, executor, device, seed, limit, allow_short
        )
        perform(shared, "cells", "cells", fresh=fresh, dry=dry_run, as_json=json_, quiet=quiet)

    @app.command("sample", help="Draw candidate faces for every cell.")
    def sample(
        out: o.OutOption = o.DEFAULT_OUT,
        config: o.ConfigOption = None,
        set_: o.SetOption = None,
        generator: GeneratorOption = None,
        taxonomy: TaxonomyOption = None,
        only: OnlyOption = None,
        per_cell: PerCellOption = None,
        strategy: StrategyOption = None,
        counterfactual: CounterfactualOption = None,
        cell_model: CellModelOption = None,
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
        if limit is not None:
            o.refuse(
                "beside --limit", {"--per-cell": per_cell}, "give one of them: both name dataset.per_cell"
            )
        sets = shorthand(
            cells__generator=generator,
            dataset__taxonomy=taxonomy,
            dataset__only=only or None,
            dataset__per_cell=per_cell,
            sample__strategy=strategy,
            sample__counterfactual=counterfactual,
            sample__cell_model=cell_model,
        )
        shared = o.Shared(
            config, [*(set_ or []), *sets], out, workers, shard, executor, device, seed, limit, allow_short
        )
        wanted = shared.run().config.sample
        own_cells = wanted.source == "generator" and not wanted.cell_model
        perform(
            shared,
            "cells" if own_cells else "sample",
            "sample",
            fresh=fresh,
            dry=dry_run,
            as_json=json_,
            quiet=quiet,
        )
