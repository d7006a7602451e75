"""`edit-latent`: age, smile or brows changed in latent space, in the region of the face only."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Literal

import numpy as np
from pydantic import Field

from generators.forgeries import latent_pictures, second_face
from generators.forgeries.base import Forger, Layers, forgery
from manifests.records import Face

Edit = Literal["age", "smile", "brows"]
EDITS: Mapping[str, Mapping[str, float]] = MappingProxyType(
    {
        "age": {"age": 1.0},
        "smile": {"mouth_width": 1.0, "corner_drop": -1.0, "mouth_open": 0.4},
        "brows": {"right_brow": -1.0, "left_brow": -1.0, "right_eye": 0.6, "left_eye": 0.6},
    }
)
"""What one unit of an edit asks for: landmark measures in their standard deviations, age in its own."""


class EditLatentParams(latent_pictures.LatentParams):
    """As `LatentParams`, and:

    edits: which; one is drawn. amount: size of the change, in standard deviations, drawn with either sign.
    until: the resolution from which on styles stay the target's. max_step: longest step in latent space, in
    standard deviations. directions: as for `reenact-latent`.
    """

    edits: tuple[Edit, ...] = Field(("age", "smile", "brows"), min_length=1)
    amount: tuple[float, float] = (1.2, 2.2)
    until: int = Field(64, ge=8)
    max_step: float = Field(3.0, gt=0)
    relight: tuple[float, float] = (0.2, 0.5)
    directions: str = ""


@forgery(
    "edit-latent",
    family="edit",
    uses="none",
    params=EditLatentParams,
    latent=True,
    directions=True,
    paper="After Shen et al., Interpreting the latent space of GANs for semantic face editing, CVPR 2020",
)
class EditLatent(Forger):
    """Attribute edit: age, smile or brows changed in latent space, within the face only; the perceived cell
    is kept.
    """

    def layers(self, target: Face, other: Face | None, rng: np.random.Generator) -> Layers:
        """The picture of the moved latent in the target's face; see `Forger.layers`.

        Raises:
            ForgeryError: `no_latent`, `latent_mismatch`. MissingError, DataError: no directions, or another
                generator's.
        """
        assert target.landmarks is not None
        p = self.params
        generator = latent_pictures.generator_of(target)
        directions = latent_pictures.directions_of(p.directions, generator, self.name)
        latent_pictures.check_latent(target, generator, p.max_difference)
        drawn = latent_pictures.drawn_mask(p, rng)
        drawn["edit"] = p.edits[int(rng.integers(len(p.edits)))]
        amount = float(rng.uniform(*p.amount)) * (1 if rng.integers(2) else -1)
        drawn["amount"], drawn["relight"] = round(amount, 4), round(float(rng.uniform(*p.relight)), 4)
        height, width = target.image.shape[:2]
        moved = latent_pictures.styles(target, generator)
        kept = slice(0, latent_pictures.layer_of(p.until))
        changes = {name: drawn["amount"] * share for name, share in EDITS[drawn["edit"]].items()}
        moved[kept] = directions.move(moved[kept], changes, p.max_step)
        points, base = target.landmarks.astype(np.float32), target.image.astype(np.float32)
        alpha = latent_pictures.face_alpha(points, drawn, height, width)
        made = latent_pictures.picture(generator, moved, height, width)
        colour: second_face.Colour = "covariance"
        return Layers(
            latent_pictures.fitted(made, base, points, alpha, colour, drawn["relight"]), alpha, drawn
        )
