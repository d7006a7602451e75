"""What a strategy is: it gives latents for (cell, seed); what a candidate is perceived as, its picture
decides.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, Protocol

import numpy as np
import numpy.typing as npt

from generators.cells.model import CellModel
from generators.stylegan2.generator import Generator
from manifests.registry import Registry

Latents = npt.NDArray[np.float32]


@dataclass(frozen=True)
class Drawing:
    """What drawing needs: the generator, the fitted cells, the run's seed, psi, strength and step."""

    generator: Generator
    cells: CellModel
    run_seed: int
    psi: float = 1.0
    strength: float = 1.0
    step: float = 0.5


class Strategy(Protocol):
    """One way to draw candidates.

    reads_cell: the cell is not known before, it is what the attribute model reads; `cell` is then ignored.
    counterfactual: it draws from `CellModel`'s densities, which also give the same face under every cell.
    """

    reads_cell: ClassVar[bool]
    counterfactual: ClassVar[bool]

    def draw(self, drawing: Drawing, cell: str, seeds: Sequence[int]) -> Latents:
        """Latents of candidates; row i depends on cell and seeds[i] alone.

        Args:
            drawing: the generator, the fitted cells, and how far from their means.
            cell: of the model's cells, such as `Black/Female`.
            seeds: of the candidates, int in [0, 2^63).

        Returns:
            float32 [len(seeds), w_dim].
        """
        ...


STRATEGIES: Registry[Strategy] = Registry("strategies", "generators.strategies")
