"""`reenact-latent`: the target's latent moved to the driver's pose and expression, blended back into the
target.
"""

from __future__ import annotations

import numpy as np
from pydantic import Field

from generators.forgeries import latent_pictures
from generators.forgeries.base import Forger, Layers, forgery
from generators.forgeries.checks import ForgeryError
from generators.forgeries.reenact_warp import LIMITS, SHARES
from generators.forgeries.shape_model import MEASURES, measure, shape_model
from manifests.records import Face


class ReenactLatentParams(latent_pictures.LatentParams):
    """As `LatentParams`, and:

    strength: how much of the driver's motion is asked for. until: the resolution from which on styles stay
    the target's. max_step: longest step in latent space, in standard deviations; more changes who is seen.
    min_motion: smallest root mean square motion, in the measures' standard deviations, below which there is
    nothing to bring. relight: how much of the target's shading is taken. directions: file of the generator's
    directions; the stage `forge` fits them and fills this in.
    """

    sides: tuple[float, float] = (0.96, 1.04)
    strength: tuple[float, float] = (0.9, 1.1)
    until: int = Field(32, ge=8)
    max_step: float = Field(2.5, gt=0)
    relight: tuple[float, float] = (0.2, 0.5)
    min_motion: float = Field(0.3, ge=0)
    directions: str = ""


@forgery(
    "reenact-latent",
    family="reenact",
    uses="driver",
    params=ReenactLatentParams,
    moves=MEASURES,
    latent=True,
    directions=True,
    partner="moving",
    paper=(
        "After Shen et al., Interpreting the latent space of GANs for semantic face editing, CVPR 2020;"
        " labels are landmarks"
    ),
)
class ReenactLatent(Forger):
    """Latent reenactment: the target's latent, moved to the driver's pose and expression, blended back."""

    def layers(self, target: Face, other: Face | None, rng: np.random.Generator) -> Layers:
        """The picture of the moved latent in the target's face; see `Forger.layers`. The driver may be a
        photograph.

        Raises:
            ForgeryError: `no_latent`, `latent_mismatch`; `no_motion`, where the driver looks just like the
                target.
            MissingError, DataError: no directions, or those of another generator.
        """
        assert other is not None
        assert target.landmarks is not None
        assert other.landmarks is not None
        p = self.params
        generator = latent_pictures.generator_of(target)
        directions = latent_pictures.directions_of(p.directions, generator, self.name)
        latent_pictures.check_latent(target, generator, p.max_difference)
        model, points = shape_model(), target.landmarks.astype(np.float32)
        ours, theirs = (
            measure(model.normalise(q)[0]) / model.spread
            for q in (points, other.landmarks.astype(np.float32))
        )
        shares = np.array([SHARES[name] for name in MEASURES])
        limits = np.array([LIMITS[name] for name in MEASURES])
        drawn = latent_pictures.drawn_mask(p, rng)
        drawn["relight"] = round(float(rng.uniform(*p.relight)), 4)
        drawn["strength"] = round(float(rng.uniform(*p.strength)), 4)
        delta = np.clip(drawn["strength"] * shares * (theirs - ours), -limits, limits)
        if float(np.sqrt((delta**2).mean())) < p.min_motion:
            raise ForgeryError(
                "no_motion",
                f"face {target.image_id!r}",
                "has its driver's pose and expression already",
                "choose another driver",
            )
        drawn["motion"] = {
            name: round(float(d * s), 4) for name, d, s in zip(MEASURES, delta, model.spread, strict=True)
        }
        height, width = target.image.shape[:2]
        moved = latent_pictures.styles(target, generator)
        kept = slice(0, latent_pictures.layer_of(p.until))
        moved[kept] = directions.move(
            moved[kept], dict(zip(MEASURES, delta.tolist(), strict=True)), p.max_step
        )
        base = target.image.astype(np.float32)
        alpha = latent_pictures.face_alpha(points, drawn, height, width)
        made = latent_pictures.picture(generator, moved, height, width)
        return Layers(
            latent_pictures.fitted(made, base, points, alpha, "covariance", drawn["relight"]), alpha, drawn
        )
