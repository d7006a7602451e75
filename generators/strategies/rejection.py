"""Strategy `rejection`: draws without condition, kept in the cell they are read as."""

from __future__ import annotations

from collections.abc import Sequence

from generators.sampling import draw_z, map_latents
from generators.strategies.base import STRATEGIES, Drawing, Latents
from manifests.registry import Params


@STRATEGIES.register("rejection", family="unconditional")
class Rejection:
    """The generator as it is, truncated by psi towards its mean; candidates are kept in the cell they are
    read as.
    """

    reads_cell = True
    counterfactual = False

    def __init__(self, params: Params) -> None:
        self.params = params

    def draw(self, drawing: Drawing, cell: str, seeds: Sequence[int]) -> Latents:
        z = draw_z(drawing.run_seed, [("rejection", seed) for seed in seeds], drawing.generator.z_dim)
        return map_latents(drawing.generator, z, psi=drawing.psi)[:, 0]
