"""Stage `cells`: draw latents, label their pictures, fit one density per cell, measure its hit rate."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from manifests.atomic import write_json
from manifests.errors import DataError
from manifests.taxonomy import get_taxonomy
from manifests.watching import watched
from pipeline.engine.config import Config
from pipeline.engine.executors import one_thread
from pipeline.engine.run_directory import RunDirectory, read_json
from pipeline.engine.shards import Task, read_shards
from pipeline.engine.stage import Context, Outcome, Stage, weight_digest
from pipeline.engine.stages import STAGES
from pipeline.stages.cells import cache as cell_cache
from pipeline.stages.cells.labelling import LOOKS, label_latents, label_on, labelling_of
from pipeline.stages.cells.measuring import hit_rate, with_looks
from pipeline.stages.cross.source import fits_cells


def _matrix(table: pa.Table, column: str) -> np.ndarray:
    return np.stack(table.column(column).to_pylist()).astype(np.float32)


@STAGES.register("cells")
class CellsStage(Stage):
    """Fits the cell model of a generator under a taxonomy."""

    name = "cells"
    version = 2

    def skipped(self, config: Config) -> str:
        if fits_cells(config):
            return ""
        return (
            "its fit is given by sample.cell_model"
            if config.sample.cell_model
            else "no face comes from a generator"
        )

    def config(self, run: RunDirectory) -> dict[str, Any]:
        sample = run.config.sample
        return {
            "cells": run.config.cells.model_dump(),
            "taxonomy": run.config.dataset.taxonomy,
            "wanted": run.config.dataset.cells,
            "psi": sample.psi,
            "strength": sample.strength,
            "strategy": sample.strategy,
            "step": sample.step,
        }

    def weights(self, run: RunDirectory) -> dict[str, str]:
        cells = run.config.cells
        return {
            "generator": weight_digest(cells.generator, "generator"),
            "attribute_model": weight_digest(cells.attribute_model, "attributes"),
        }

    def tasks(self, context: Context, key: str) -> list[Task]:
        cells, folder = context.config.cells, self.folder(context.run)
        files = self._files(context.run)
        if not context.fresh and cell_cache.take(key, files, "cells", lambda: self._check(context, files)):
            context.reporter.line("cells: taken from the cache")
            return []
        labelling = labelling_of(context.run)
        starts = range(0, cells.latents, cells.shard_size)
        return [
            Task(
                self.name,
                index,
                folder,
                key,
                label_latents,
                replace(labelling, start=start, stop=min(start + cells.shard_size, cells.latents)),
            )
            for index, start in enumerate(starts)
        ]

    def _files(self, run: RunDirectory) -> list[Path]:
        return [self.folder(run) / "model.safetensors", self.folder(run) / "cells.json"]

    def _check(self, context: Context, files: Sequence[Path]) -> None:
        """Whether files out of the cache are a fit of this run.

        Raises:
            DataError: they are not.
        """
        from generators.cells import CellModel

        cells, wanted = CellModel.load(files[0]), set(context.config.dataset.cells)
        facts = read_json(files[1])
        rates = [one.get("hit_rate") if isinstance(one, dict) else None for one in facts.values()]
        if not wanted <= {*cells.cells} & {*facts} or not all(isinstance(rate, float) for rate in rates):
            raise DataError(str(files[1]), "is no fit of these cells", "remove it from the cache")

    def finish(self, context: Context, tasks: Sequence[Task]) -> Outcome:
        if tasks:
            self._fit(context, tasks)
            cell_cache.keep(tasks[0].key, self._files(context.run), "cells")
        files = self._files(context.run)
        rates = [cell["hit_rate"] for cell in read_json(files[1]).values()]
        return Outcome(
            files,
            {
                "latents": context.config.cells.latents,
                "lowest_hit_rate": round(min(rates), 3),
                "mean_hit_rate": round(float(np.mean(rates)), 3),
            },
        )

    def _fit(self, context: Context, tasks: Sequence[Task]) -> None:
        """Fit, refine and measure the cells; writes the stage's files."""
        from generators.cells import CellParams, RefineParams, fit_cells, refine_cells

        one_thread()
        run, cells = context.run, context.config.cells
        taxonomy = get_taxonomy(context.config.dataset.taxonomy)
        table = read_shards(self.folder(run), len(tasks))
        params = CellParams(
            min_race_prob=cells.min_race_prob,
            min_gender_prob=cells.min_gender_prob,
            min_age_prob=cells.min_age_prob,
            min_latents=cells.min_latents,
            keep_most=cells.keep_most,
        )
        digests = self.weights(run)
        labelled = _matrix(table, "w"), [_matrix(table, axis) for axis in taxonomy.axes]
        fitted = fit_cells(
            *labelled,
            taxonomy,
            params,
            cells=context.config.dataset.cells,
            generator_sha256=digests["generator"],
            attributes_sha256=digests["attribute_model"],
            latent_seed=run.config.run.seed,
        )
        refine = RefineParams(
            rounds=cells.refine_rounds,
            draws=cells.refine_draws,
            strengths=cells.strengths,
            psi=run.config.sample.psi,
            tries=cells.tries,
            sure=cells.sure,
            enough=cells.enough,
            readers=cells.readers,
        )
        labelling = replace(labelling_of(run), looks=False)
        fitted = refine_cells(
            fitted,
            *labelled,
            lambda w: label_on(context.executor, labelling, w),
            params,
            refine,
            seed=run.config.run.seed,
        )
        if cells.looks.wanted:
            fitted = with_looks(context, fitted, *labelled, _matrix(table, LOOKS))
        rates = {
            cell: hit_rate(context, fitted, cell, params)
            for cell in watched(fitted.cells, "measuring hit rates", "cells")
        }
        fitted = fitted.with_hit_rates(rates)
        model_path, table_path = self._files(run)
        fitted.save(model_path)
        write_json(
            table_path,
            {
                cell: {
                    "confident_latents": int(fitted.counts[cell]),
                    "share": round(fitted.shares[cell], 4),
                    "strength": fitted.strengths.get(cell, 1.0),
                    "hit_rate": round(rates[cell], 4),
                }
                for cell in fitted.cells
            },
        )
