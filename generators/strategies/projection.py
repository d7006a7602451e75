"""Strategy `projection`: draws from the fitted densities of the cells."""

from __future__ import annotations

from collections.abc import Sequence

from generators.strategies.base import STRATEGIES, Drawing, Latents
from manifests.registry import Params


@STRATEGIES.register("projection", family="density", paper="Rahimi, Ecabert, Marcel, arXiv 2309.08442")
class Projection:
    """Draws from the densities of `fit_cells` and `refine_cells`."""

    reads_cell = False
    counterfactual = True

    def __init__(self, params: Params) -> None:
        self.params = params

    def draw(self, drawing: Drawing, cell: str, seeds: Sequence[int]) -> Latents:
        return drawing.cells.sample(cell, seeds, psi=drawing.psi, strength=drawing.strength)
