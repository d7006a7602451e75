"""Demographic cells of a generator's latent space: fitted, refined, sampled."""

from generators.cells.fit import CellParams, confident_cells, fit_cells
from generators.cells.model import CellModel
from generators.cells.refine import RefineParams, refine_cells

__all__ = ["CellModel", "CellParams", "RefineParams", "confident_cells", "fit_cells", "refine_cells"]
