"""`swap-latent`: the source's identity layers in the target's latent, blended back into the target."""

from __future__ import annotations

import numpy as np
from pydantic import Field

from generators.forgeries import latent_pictures, second_face
from generators.forgeries.base import Forger, Layers, forgery
from manifests.records import Face


class SwapLatentParams(latent_pictures.LatentParams):
    """As `LatentParams`, and:

    coarse: how many of the first styles stay the target's (they shape pose and head at 4 pixels). fine: the
    resolutions from which on styles are the target's again (colour, light, noise); one is drawn. strength:
    how far the styles between go from the target's to the source's; above 1 beyond it, for what is blended
    back carries some of the target again. relight: how much of the target's shading is taken. max_yaw_gap,
    max_mouth_gap: as for `swap-delaunay`.
    """

    feather: tuple[float, float] = (0.08, 0.14)
    top: tuple[float, float] = (0.6, 0.95)
    sides: tuple[float, float] = (0.98, 1.04)
    strength: tuple[float, float] = (1.1, 1.3)
    coarse: int = Field(1, ge=0, le=4)
    fine: tuple[int, ...] = Field((64,), min_length=1)
    relight: tuple[float, float] = (0.2, 0.5)
    colours: tuple[second_face.Colour, ...] = Field(("reinhard", "covariance"), min_length=1)
    max_yaw_gap: float = Field(0.3, gt=0)
    max_mouth_gap: float = Field(0.5, gt=0)


@forgery(
    "swap-latent",
    family="swap",
    uses="source",
    params=SwapLatentParams,
    latent=True,
    paper=(
        "Style mixing (Karras et al., A style-based generator architecture, CVPR 2019) as a face swap; ours"
    ),
)
class SwapLatent(Forger):
    """Latent swap: the source's identity layers between the target's coarse and fine ones, blended back."""

    def layers(self, target: Face, other: Face | None, rng: np.random.Generator) -> Layers:
        """The picture of the mixed latent in the target's face; see `Forger.layers`.

        Raises:
            ForgeryError: `no_latent`, `other_generator`, `latent_mismatch`; `pose_gap`, where the faces look
                in too different directions.
        """
        assert other is not None
        assert target.landmarks is not None
        assert other.landmarks is not None
        p = self.params
        generator = latent_pictures.same_generator(target, other)
        latent_pictures.check_latent(target, generator, p.max_difference)
        points = target.landmarks.astype(np.float32)
        yaw, mouth = np.subtract(
            second_face.pose(other.landmarks.astype(np.float32)), second_face.pose(points)
        )
        if abs(yaw) > p.max_yaw_gap or abs(mouth) > p.max_mouth_gap:
            raise second_face.pose_gap(other, yaw, mouth)
        drawn = latent_pictures.drawn_mask(p, rng)
        drawn["strength"] = round(float(rng.uniform(*p.strength)), 4)
        drawn["relight"] = round(float(rng.uniform(*p.relight)), 4)
        drawn["colour"] = p.colours[int(rng.integers(len(p.colours)))]
        drawn["fine"] = p.fine[int(rng.integers(len(p.fine)))]
        mixed = latent_pictures.styles(target, generator)
        kept = slice(p.coarse, latent_pictures.layer_of(drawn["fine"]))
        mixed[kept] += np.float32(drawn["strength"]) * (
            latent_pictures.styles(other, generator)[kept] - mixed[kept]
        )
        height, width = target.image.shape[:2]
        base = target.image.astype(np.float32)
        alpha = latent_pictures.face_alpha(points, drawn, height, width)
        made = latent_pictures.picture(generator, mixed, height, width)
        return Layers(
            latent_pictures.fitted(made, base, points, alpha, drawn["colour"], drawn["relight"]), alpha, drawn
        )
