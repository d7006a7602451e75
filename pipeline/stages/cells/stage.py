"""Stage `cells`: draw latents, label their pictures, fit one density per cell, measure its hit rate."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from manifests.atomic import write_json
from manifests.errors import DataError
from manifests.seeding import seed_of
from manifests.taxonomy import get_taxonomy
from manifests.watching import watched
from pipeline.engine import models
from pipeline.engine.config import Config
from pipeline.engine.executors import Executor, one_thread
from pipeline.engine.run_directory import RunDirectory, read_json
from pipeline.engine.shards import Task, read_shards
from pipeline.engine.stage import Context, Outcome, Stage, weight_digest
from pipeline.engine.stages import STAGES
from pipeline.stages.cells import cache as cell_cache
from pipeline.stages.cross.source import fits_cells

CHUNK = 16
"""Latents of a piece that a worker labels: a batch of the models, which compute as many rows whatever they
are given.
"""


@dataclass(frozen=True)
class Labelling:
    """With what latents are labelled; of a shard those from `start` to `stop`. seed: of the run."""

    generator: str
    attribute_model: str
    device: str
    taxonomy: str
    seed: int = 0
    start: int = 0
    stop: int = 0


def _label(labelling: Labelling, w: np.ndarray) -> list[np.ndarray]:
    """Probabilities of the pictures of w [N, w_dim], by axis of the taxonomy: float32 [N, classes]."""
    from generators.sampling import synthesize

    model = models.generator(labelling.generator, labelling.device)
    images = synthesize(model, w)
    reader = models.attribute_model(labelling.attribute_model, labelling.device)
    return list(reader.axes(reader.predict(images), get_taxonomy(labelling.taxonomy)).values())


def label_chunk(piece: tuple[int, Labelling, np.ndarray]) -> tuple[int, list[np.ndarray]]:
    """`_label` of one piece of the latents, with its number. Runs in a worker."""
    number, labelling, w = piece
    return number, _label(labelling, w)


def label_on(executor: Executor, labelling: Labelling, w: np.ndarray) -> list[np.ndarray]:
    """`_label` on the workers, in pieces; the same whatever their number."""
    pieces = [
        (number, labelling, w[start : start + CHUNK]) for number, start in enumerate(range(0, len(w), CHUNK))
    ]
    found = [labels for _, labels in sorted(executor.map(label_chunk, pieces), key=lambda one: one[0])]
    return [np.concatenate(parts) for parts in zip(*found, strict=True)]


def label_latents(task: Task[Labelling]) -> pa.Table:
    """One shard: latents `start` to `stop`, mapped to W, synthesised and labelled."""
    from generators.sampling import draw_z, map_latents

    labelling = task.payload
    model = models.generator(labelling.generator, labelling.device)
    keys = [("latent", index) for index in range(labelling.start, labelling.stop)]
    w = map_latents(model, draw_z(labelling.seed, keys, model.z_dim))[:, 0]
    axes = get_taxonomy(labelling.taxonomy).axes
    columns = {"w": w, **dict(zip(axes, _label(labelling, w), strict=True))}
    return pa.table({name: pa.array(list(rows), pa.list_(pa.float32())) for name, rows in columns.items()})


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

    def _labelling(self, run: RunDirectory) -> Labelling:
        cells, config = run.config.cells, run.config
        return Labelling(
            cells.generator,
            cells.attribute_model,
            config.execute.device,
            config.dataset.taxonomy,
            config.run.seed,
        )

    def tasks(self, context: Context, key: str) -> list[Task]:
        cells, folder = context.config.cells, self.folder(context.run)
        files = self._files(context.run)
        if not context.fresh and cell_cache.take(key, files, "cells", lambda: self._check(context, files)):
            context.reporter.line("cells: taken from the cache")
            return []
        labelling = self._labelling(context.run)
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
        labelling = self._labelling(run)
        fitted = refine_cells(
            fitted,
            *labelled,
            lambda w: label_on(context.executor, labelling, w),
            params,
            refine,
            seed=run.config.run.seed,
        )
        rates = {
            cell: self._hit_rate(context, fitted, cell, params)
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

    def _hit_rate(self, context: Context, fitted: Any, cell: str, params: Any) -> float:
        """Share of fresh draws for a cell that the attribute model reads as that cell, as surely as the fit
        asks.
        """
        from generators.cells.refine import hits
        from generators.strategies import STRATEGIES, Drawing

        run = context.run
        cells, taxonomy = run.config.cells, get_taxonomy(run.config.dataset.taxonomy)
        sample, seed = run.config.sample, run.config.run.seed
        strategy = STRATEGIES.create(sample.strategy)
        if strategy.reads_cell:
            return float(fitted.shares[cell])
        drawing = Drawing(
            models.generator(cells.generator, run.config.execute.device),
            fitted,
            seed,
            sample.psi,
            sample.strength,
            sample.step,
        )
        seeds = [seed_of(seed, "hit-rate", cell, i) for i in range(cells.hit_rate_draws)]
        labels = label_on(context.executor, self._labelling(run), strategy.draw(drawing, cell, seeds))
        hit = hits(labels, taxonomy, cell, params)
        return float(
            (hit.sum() + 1) / (len(hit) + 2)
        )  # Laplace's rule: a rate of 0 would ask for infinitely many
