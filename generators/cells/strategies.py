"""How a cell's candidates are drawn: the fitted cells, rejection, or search around confident latents.

All three give latents for (cell, seed); what a candidate is perceived as, its picture decides. For `rejection` the cell is not
known before: `reads_cell` says that the attribute model names it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt

from generators.cells.model import CellModel
from generators.sampling import draw_z, map_latents
from generators.stylegan2.generator import Generator
from manifests.errors import UsageError
from manifests.registry import nearest
from manifests.seeding import rng_of

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
    """One way to draw candidates. `reads_cell`: the candidate's cell is what the attribute model reads."""

    reads_cell: bool

    def draw(self, drawing: Drawing, cell: str, seeds: Sequence[int]) -> Latents:
        """Latents float32 [n, w_dim]; row i depends on cell and seeds[i] alone."""
        ...


class Projection:
    """Draws from the densities of `fit_cells` and `refine_cells`."""

    reads_cell = False

    def draw(self, drawing: Drawing, cell: str, seeds: Sequence[int]) -> Latents:
        return drawing.cells.sample(cell, seeds, psi=drawing.psi, strength=drawing.strength)


class Rejection:
    """The generator as it is, truncated by psi towards its mean; candidates are kept in the cell they are read as."""

    reads_cell = True

    def draw(self, drawing: Drawing, cell: str, seeds: Sequence[int]) -> Latents:
        z = draw_z(drawing.run_seed, [("rejection", seed) for seed in seeds], drawing.generator.z_dim)
        return map_latents(drawing.generator, z, psi=drawing.psi)[:, 0]


class Search:
    """Steps from confident latents of the cell: z + N(0, step^2). Jain, Memon, Togelius, arXiv 2305.07710.

    The paper walks on from what it accepted; here every step starts at a latent of the fit, so that candidates do not depend on
    each other. Whether the cell stays and the identity is new, verification decides.
    """

    reads_cell = False

    def draw(self, drawing: Drawing, cell: str, seeds: Sequence[int]) -> Latents:
        anchors = drawing.cells.anchors.get(cell, ())
        if not anchors:
            raise UsageError(f"cell {cell}", "has no confident latents to search around", "fit again: fairforge fit-cells")
        rows = []
        for seed in seeds:
            rng = rng_of(seed, "search")
            anchor = anchors[int(rng.integers(len(anchors)))]
            z = draw_z(drawing.cells.latent_seed, [("latent", anchor)], drawing.generator.z_dim)[0]
            rows.append(z + drawing.step * rng.standard_normal(len(z), dtype=np.float32))
        z = np.stack(rows) if rows else np.zeros((0, drawing.generator.z_dim), np.float32)
        return map_latents(drawing.generator, z, psi=drawing.psi)[:, 0]


STRATEGIES: dict[str, Callable[[], Strategy]] = {"projection": Projection, "rejection": Rejection, "search": Search}


def get_strategy(name: str) -> Strategy:
    """A strategy by name.

    Raises:
        UsageError: no such strategy.
    """
    if name not in STRATEGIES:
        raise UsageError(f"strategy {name!r}", f"is not known{nearest(name, list(STRATEGIES))}", f"one of: {', '.join(STRATEGIES)}")
    return STRATEGIES[name]()
