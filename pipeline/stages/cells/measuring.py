"""Cells measured on fresh draws of theirs: how many hit, and what they look like."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from manifests.seeding import seed_of
from manifests.taxonomy import get_taxonomy
from pipeline.engine import models
from pipeline.engine.run_directory import RunDirectory
from pipeline.engine.stage import Context
from pipeline.stages.cells.labelling import label_on, labelling_of

if TYPE_CHECKING:
    from generators.cells import CellModel, CellParams
    from generators.cells.looks import Looks
    from generators.strategies import Drawing


def _drawing(run: RunDirectory, cells: CellModel) -> Drawing:
    from generators.strategies import Drawing

    sample = run.config.sample
    return Drawing(
        models.generator(run.config.cells.generator, run.config.execute.device),
        cells,
        run.config.run.seed,
        sample.psi,
        sample.strength,
        sample.step,
    )


def hit_rate(context: Context, fitted: CellModel, cell: str, params: CellParams) -> float:
    """Share of fresh draws for a cell that the attribute model reads as that cell, as surely as the fit
    asks.
    """
    from generators.cells.refine import hits
    from generators.strategies import STRATEGIES

    run = context.run
    cells, taxonomy = run.config.cells, get_taxonomy(run.config.dataset.taxonomy)
    seed, strategy = run.config.run.seed, STRATEGIES.create(run.config.sample.strategy)
    if strategy.reads_cell:
        return float(fitted.shares[cell])
    seeds = [seed_of(seed, "hit-rate", cell, i) for i in range(cells.hit_rate_draws)]
    labelling = replace(labelling_of(run), looks=False)
    labels = label_on(context.executor, labelling, strategy.draw(_drawing(run, fitted), cell, seeds))
    hit = hits(labels, taxonomy, cell, params)
    return float(
        (hit.sum() + 1) / (len(hit) + 2)
    )  # Laplace's rule: a rate of 0 would ask for infinitely many


def with_looks(
    context: Context, fitted: CellModel, w: np.ndarray, labels: Sequence[np.ndarray], looks: np.ndarray
) -> CellModel:
    """The cells, whose draws are held to the looks that are wanted, by `cells.refine_draws` draws of each and
    round.

    Args:
        context: of the run.
        fitted: the cells as they are refined.
        w: float32 [N, w_dim], the latents that were labelled.
        labels: their labels, by axis of the taxonomy.
        looks: float32 [N, 3], measures of their pictures.
    """
    from generators.cells.looks import calibrate_looks, fit_looks
    from generators.strategies import STRATEGIES

    run = context.run
    config, taxonomy = run.config, get_taxonomy(fitted.taxonomy)
    labelling, strategy = labelling_of(run), STRATEGIES.create(config.sample.strategy)
    found = fit_looks(
        fitted.whiten(w), looks, labels, taxonomy, list(fitted.cells), config.cells.looks.wanted
    )
    if strategy.reads_cell:
        return replace(fitted, looks=found)

    def drawn(now: Looks, cell: str, number: int) -> tuple[np.ndarray, np.ndarray]:
        draws = range(config.cells.refine_draws)
        seeds = [seed_of(config.run.seed, "looks", number, cell, i) for i in draws]
        made = strategy.draw(_drawing(run, replace(fitted, looks=now)), cell, seeds)
        return fitted.whiten(made), label_on(context.executor, labelling, made)[-1]

    return replace(fitted, looks=calibrate_looks(found, drawn, psi=config.sample.psi))
