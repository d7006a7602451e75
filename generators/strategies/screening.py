"""Strategy `screening`: the generator's own draws, moved a little towards the cell and screened by the latent
reader.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from generators.sampling import draw_z, map_latents
from generators.strategies.base import STRATEGIES, Drawing, Latents
from manifests.registry import Params
from manifests.seeding import seed_of

CHUNK = 64
"""Latents that are mapped and read at a time."""


@STRATEGIES.register("screening", family="latent rejection")
class Screening:
    """Of up to `tries` fresh latents of the mapping network, the first that the reader is sure of (see
    `CellModel.screen`).

    Rejection before the picture is made: what is no part of the cell keeps the generator's own distribution,
    where `projection` draws it from a Gaussian. Latents that are mapped cost little beside a picture.
    """

    reads_cell = False
    counterfactual = False

    def __init__(self, params: Params) -> None:
        self.params = params

    def draw(self, drawing: Drawing, cell: str, seeds: Sequence[int]) -> Latents:
        drawing.cells.check([cell])
        rows = [
            drawing.cells.screen(
                cell,
                self._fresh(drawing, seed),
                seed=seed_of(drawing.run_seed, "screening", seed),
                psi=drawing.psi,
                strength=drawing.strength,
            )
            for seed in seeds
        ]
        return np.stack(rows) if rows else np.zeros((0, drawing.cells.w_dim), np.float32)

    @staticmethod
    def _fresh(drawing: Drawing, seed: int) -> Iterator[Latents]:
        """Latents float32 [CHUNK, w_dim] without end."""
        start = 0
        while True:
            keys = [("screening", seed, number) for number in range(start, start + CHUNK)]
            yield map_latents(drawing.generator, draw_z(drawing.run_seed, keys, drawing.generator.z_dim))[
                :, 0
            ]
            start += CHUNK
