"""Refining cells: draw from them, label the draws, fit again. Ours; the fit itself is `generators.cells.fit`.

Rare cells have few latents among unconditional draws, and those lie at the edge of what was seen. Draws for
such a cell are latents of the very kind it needs: labelled, they show where the cell really is. After each
round directions, densities and the latent reader are fitted on everything labelled so far. The whitening
stays that of the unconditional latents, so the complement keeps its density. Per cell the strength is chosen
by what the last round's draws were read as.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt
from pydantic import Field

from generators.cells.density import Array
from generators.cells.fit import CellParams, Labels, confident_cells, densities, directions
from generators.cells.model import CellModel
from generators.cells.reader import train_reader
from manifests.registry import Params
from manifests.seeding import seed_of
from manifests.taxonomy import Taxonomy, get_taxonomy
from manifests.watching import watched

Labeller = Callable[[npt.NDArray[np.float32]], Labels]
"""Latents float32 [n, w_dim] to the labels of their pictures, see `generators.cells.fit.Labels`."""


class RefineParams(Params):
    """How cells are refined.

    rounds: how often; 0 leaves the fit as it is. draws: per cell and round. strengths: tried in turn, see
    `CellModel.sample`. psi: of the draws. tries, sure: draws of which the reader keeps one, when the cell is
    sampled (see `CellModel`). margin: a weaker strength is preferred when its hit rate is at most this much
    lower than the best, or reaches `enough`. readers: networks that the reader averages.
    """

    rounds: int = Field(2, ge=0, le=20)
    draws: int = Field(96, ge=6)
    strengths: tuple[float, ...] = Field((1.0, 1.5, 2.0), min_length=1)
    psi: float = Field(0.8, gt=0, le=2)
    tries: int = Field(4, ge=1, le=256)
    sure: float = Field(1.0, gt=0, le=1)
    margin: float = Field(0.08, ge=0, le=1)
    enough: float = Field(1.0, gt=0, le=1)
    readers: int = Field(1, ge=1, le=32)


def hits(labels: Labels, taxonomy: Taxonomy, cell: str, params: CellParams) -> npt.NDArray[np.bool_]:
    """Which latents are read as `cell`, as surely as the fit asks: bool [n]."""
    return confident_cells(
        labels, taxonomy, params.model_copy(update={"keep_most": None})
    ) == taxonomy.cells.index(cell)


def _chosen(rates: Array, refine: RefineParams) -> float:
    """The weakest strength whose hit rate is enough, or within the margin of the best."""
    least = min(refine.enough, rates.max() - refine.margin)
    order = np.argsort(refine.strengths, kind="stable")
    return float(refine.strengths[next(k for k in order if rates[k] >= least)])


def refine_cells(
    model: CellModel,
    w: npt.NDArray[np.float32],
    labels: Labels,
    label: Labeller,
    params: CellParams,
    refine: RefineParams,
    *,
    seed: int,
) -> CellModel:
    """A cell model fitted again on labelled draws of itself, with a latent reader.

    Args:
        model: what `fit_cells` made of w and labels with `params`.
        label: makes pictures of latents and reads them.
        seed: of the draws.

    Raises:
        UserError: whatever `label` raises.
    """
    from threadpoolctl import threadpool_limits

    taxonomy = get_taxonomy(model.taxonomy)
    pool: list[tuple[Any, ...]] = [(model.whiten(w), *labels)]
    strengths = dict.fromkeys(model.cells, 1.0)
    for number in range(refine.rounds):
        for cell in watched(model.cells, f"round {number + 1} of {refine.rounds}, labelling draws", "cells"):
            tried = np.arange(refine.draws) % len(refine.strengths)
            seeds = [seed_of(seed, "refine", number, cell, i) for i in range(refine.draws)]
            drawn = np.concatenate(
                [
                    model.sample(
                        cell,
                        [seed],
                        psi=refine.psi,
                        strength=refine.strengths[k] / model.strengths.get(cell, 1.0),
                    )
                    for seed, k in zip(seeds, tried, strict=True)
                ]
            )
            read = label(drawn)
            pool.append((model.whiten(drawn), *read))
            hit = hits(read, taxonomy, cell, params)
            rates = np.array(
                [(hit[tried == k].sum() + 1) / ((tried == k).sum() + 2) for k in range(len(refine.strengths))]
            )
            strengths[cell] = _chosen(rates, refine)
        with threadpool_limits(limits=1):
            model = _fit_pool(model, pool, taxonomy, params)
        u, *together = (np.concatenate(parts) for parts in zip(*pool, strict=True))
        reader = train_reader(u, together, seed_of(seed, "reader", number) % 2**63, refine.readers)
        model = replace(model, reader=reader, tries=refine.tries, sure=refine.sure, strengths=dict(strengths))
    return model


def _fit_pool(
    model: CellModel, pool: Sequence[tuple[Array, ...]], taxonomy: Taxonomy, params: CellParams
) -> CellModel:
    u, *labels = (np.concatenate(parts) for parts in zip(*pool, strict=True))
    basis = directions(u, labels, taxonomy, params)
    found = confident_cells(labels, taxonomy, params)
    return replace(model, basis=basis, cells=densities(u @ basis, found, list(model.cells), taxonomy, params))
