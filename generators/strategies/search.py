"""Strategy `search`: random steps around confident latents of the cell."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from generators.sampling import draw_z, map_latents
from generators.strategies.base import STRATEGIES, Drawing, Latents
from manifests.errors import UsageError
from manifests.registry import Params
from manifests.seeding import rng_of


@STRATEGIES.register("search", family="local search", paper="Jain, Memon, Togelius, arXiv 2305.07710")
class Search:
    """Steps from confident latents of the cell: z + N(0, step^2).

    The paper walks on from what it accepted; here every step starts at a latent of the fit, so that
    candidates do not depend on each other. Whether the cell stays and the identity is new, verification
    decides.
    """

    reads_cell = False
    counterfactual = False

    def __init__(self, params: Params) -> None:
        self.params = params

    def draw(self, drawing: Drawing, cell: str, seeds: Sequence[int]) -> Latents:
        anchors = drawing.cells.anchors.get(cell, ())
        if not anchors:
            raise UsageError(
                f"cell {cell}", "has no confident latents to search around", "fit again: fairforge fit-cells"
            )
        rows = []
        for seed in seeds:
            rng = rng_of(seed, "search")
            anchor = anchors[int(rng.integers(len(anchors)))]
            z = draw_z(drawing.cells.latent_seed, [("latent", anchor)], drawing.generator.z_dim)[0]
            rows.append(z + drawing.step * rng.standard_normal(len(z), dtype=np.float32))
        z = np.stack(rows) if rows else np.zeros((0, drawing.generator.z_dim), np.float32)
        return map_latents(drawing.generator, z, psi=drawing.psi)[:, 0]
