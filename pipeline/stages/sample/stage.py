"""Stage `sample`: candidate faces for every cell, drawn from the cell model, taken from photographs, or
both.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from manifests.atomic import digest_file
from manifests.errors import GateError, UsageError
from manifests.schema import PHOTOGRAPH
from manifests.store import write_table
from manifests.weights import catalogue, find_weight
from pipeline.engine import models
from pipeline.engine.config import Config
from pipeline.engine.run_directory import RunDirectory
from pipeline.engine.shards import Task, read_shards
from pipeline.engine.stage import Context, Outcome, Stage, weight_digest
from pipeline.engine.stages import STAGES
from pipeline.stages.sample import photographs
from pipeline.stages.sample.candidates import ANY, Draws, Item, Reading, draw_candidates

if TYPE_CHECKING:
    from generators.strategies import Strategy


def quotas(config: Config) -> dict[str, int]:
    """Accepted identities that verify keeps, by cell: more than wanted, for the forgeries that will fail."""
    return {
        cell: math.ceil(config.dataset.wanted(cell) * config.verify.slack) for cell in config.dataset.cells
    }


CELLS = "cells"
"""The kind of weight that a cell model is."""


def cell_model_path(run: RunDirectory) -> Path:
    """The cell model this run samples from: its own, or the one that `sample.cell_model` names.

    Raises:
        MissingError: neither a file nor a known name. DataError: not the file that the catalogue has.
    """
    named = run.config.sample.cell_model
    return find_weight(named, CELLS).path if named else run.folder("cells") / "model.safetensors"


def _reading(config: Config) -> Reading | None:
    """With what pictures are read where a strategy does not know the cell before; None where it does."""
    if not config.sample.generates or not _strategy(config).reads_cell:
        return None
    return Reading(config.cells.attribute_model, config.cells.minima)


def _strategy(config: Config) -> Strategy:
    from generators.strategies import STRATEGIES

    return STRATEGIES.create(config.sample.strategy)


GROUP = 16_384
"""Rows of a row group of the candidates: each shard of `verify` reads those that its own rows are in."""


@STAGES.register("sample")
class SampleStage(Stage):
    """Candidates per cell: of generated faces enough, by the cell's measured hit rate, for verify to accept
    its quota.
    """

    name = "sample"
    after = "cells"
    version = 3

    def inputs_of(self, run: RunDirectory) -> tuple[str, ...]:
        return ("cells",) if run.config.sample.generates and not run.config.sample.cell_model else ()

    def config(self, run: RunDirectory) -> dict[str, Any]:
        config, sample = run.config, run.config.sample
        common: dict[str, Any] = {
            "source": sample.source,
            "quotas": quotas(config),
            "taxonomy": config.dataset.taxonomy,
        }
        if PHOTOGRAPH in sample.origins:
            common |= {"filters": sample.filters.model_dump(), "tries": sample.tries}
        if not sample.generates:
            return {**common, "shard_size": sample.shard_size}
        return {
            **common,
            "sample": sample.model_dump(exclude={"photographs", "cell_model", "filters", "tries"}),
            "cells": config.dataset.cells,
            "generator": config.cells.generator,
            "name": config.run.name,
            "licence": config.release.licence,
            **(asdict(reading) if (reading := _reading(config)) else {}),
        }

    def check(self, run: RunDirectory) -> None:
        sample = run.config.sample
        if PHOTOGRAPH in sample.origins:
            photographs.check(sample.photographs)
        named = sample.cell_model
        if sample.generates and named and (named in catalogue(CELLS) or Path(named).is_file()):
            from generators.cells.belonging import check_fitted_to, check_taxonomy

            weight = find_weight(named, CELLS)
            cells = models.cell_model(str(weight.path), weight.sha256)
            check_fitted_to(cells, f"sample.cell_model {named!r}", self.weights(run)["generator"])
            check_taxonomy(cells, f"sample.cell_model {named!r}", run.config.dataset.taxonomy)

    def weights(self, run: RunDirectory) -> dict[str, str]:
        if not run.config.sample.generates:
            return {}
        out = {"generator": weight_digest(run.config.cells.generator, "generator")}
        if _reading(run.config):
            out["attribute_model"] = weight_digest(run.config.cells.attribute_model, "attributes")
        return out

    def files(self, run: RunDirectory) -> dict[str, str]:
        sample = run.config.sample
        out = photographs.digests(sample.photographs) if PHOTOGRAPH in sample.origins else {}
        if sample.generates and sample.cell_model:
            out["cell_model"] = find_weight(sample.cell_model, CELLS).sha256
        return out

    def tasks(self, context: Context, key: str) -> list[Task]:
        sample = context.config.sample
        out = self._generated(context, key) if sample.generates else []
        return out + self._photographs(context, key, len(out)) if PHOTOGRAPH in sample.origins else out

    def _photographs(self, context: Context, key: str, first: int) -> list[Task]:
        """Shards of photographs, numbered from `first`."""
        config, sample = context.config, context.config.sample
        chosen, said = photographs.choose(config, quotas(config))
        for line in said:
            context.reporter.line(f"sample: {line}")
        taken = photographs.Taken(
            sample.photographs, sample.filters, config.dataset.taxonomy, config.run.seed
        )
        return [
            Task(
                self.name,
                first + number,
                self.folder(context.run),
                key,
                photographs.take_photographs,
                replace(taken, chosen=tuple(chosen[start : start + sample.shard_size])),
            )
            for number, start in enumerate(range(0, len(chosen), sample.shard_size))
        ]

    def _generated(self, context: Context, key: str) -> list[Task]:
        """Shards of faces to draw."""
        run, config, path = context.run, context.config, cell_model_path(context.run)
        sample, digest = config.sample, digest_file(path)
        if sample.counterfactual and not _strategy(config).counterfactual:
            raise UsageError(
                f"sample.strategy {sample.strategy!r}",
                "draws no counterfactual sets",
                "leave sample.strategy at projection",
            )
        items = self._items(context, models.cell_model(str(path), digest))
        draws = Draws(
            generator=config.cells.generator,
            generator_sha256=self.weights(run)["generator"],
            cell_model=str(path),
            cell_model_sha256=digest,
            reading=_reading(config),
            taxonomy=config.dataset.taxonomy,
            cells=config.dataset.cells,
            strategy=sample.strategy,
            psi=sample.psi,
            strength=sample.strength,
            step=sample.step,
            counterfactual=sample.counterfactual,
            seed=config.run.seed,
            device=config.execute.device,
            licence=config.release.licence,
            dataset=config.run.name,
        )
        return [
            Task(
                self.name,
                number,
                self.folder(run),
                key,
                draw_candidates,
                replace(draws, items=tuple(items[start : start + sample.shard_size])),
            )
            for number, start in enumerate(range(0, len(items), sample.shard_size))
        ]

    def _items(self, context: Context, cells: Any) -> list[Item]:
        """(cell, number) of every candidate; `ANY` for a strategy that does not know the cell before.

        Raises:
            UsageError: the model lacks a cell. GateError: a cell would need more candidates than
                `sample.max_per_cell`.
        """
        config = context.config
        cells.check(config.dataset.cells)
        reads_cell = _strategy(config).reads_cell
        rates = cells.shares if reads_cell else cells.hit_rates
        if config.sample.counterfactual:  # a set counts when every member does
            whole = math.prod(float(rates[cell]) for cell in config.dataset.cells)
            rates = dict.fromkeys(config.dataset.cells, whole)
        count = {
            cell: self._candidates(context, quota, float(rates[cell]))
            for cell, quota in quotas(config).items()
        }
        most = config.sample.max_per_cell
        beyond = [f"{cell} needs {n} (hit rate {rates[cell]:.4f})" for cell, n in count.items() if n > most]
        if beyond and not config.pair.allow_short:
            raise GateError(
                f"{len(beyond)} of {len(count)} cells",
                f"need more candidates than sample.max_per_cell {most}: {'; '.join(beyond)}",
                "raise sample.max_per_cell or cells.latents, try another sample.strategy, leave cells out"
                " (dataset.only), ask for fewer (dataset.per_cell), or pass --allow-short",
            )
        count = {cell: min(n, most) for cell, n in count.items()}
        if reads_cell:
            return [Item(ANY, index) for index in range(max(count.values()))]
        if config.sample.counterfactual:
            return [Item(cell, index) for index in range(max(count.values())) for cell in count]
        return [Item(cell, index) for cell in count for index in range(count[cell])]

    def _candidates(self, context: Context, quota: int, hit_rate: float) -> int:
        """Enough for the quota in all likelihood: two standard deviations (Poisson) above `oversample` times
        the quota.
        """
        hits = quota * context.config.sample.oversample
        return math.ceil((hits + 2 * math.sqrt(hits)) / max(hit_rate, 0.002))

    def finish(self, context: Context, tasks: Sequence[Task]) -> Outcome:
        table = read_shards(self.folder(context.run), len(tasks))
        path = self.folder(context.run) / "candidates.parquet"
        write_table(table, path, group=GROUP)
        return Outcome([path], {"candidates": table.num_rows})
