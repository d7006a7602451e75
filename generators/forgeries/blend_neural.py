"""`blend-neural`: the face as the decoder of a generating network draws it, blended onto its own picture."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
from pydantic import Field, model_validator

from generators.forgeries.base import forgery
from generators.forgeries.blend_self import BlendSelf, BlendSelfParams
from generators.forgeries.geometry import Float

SMALLEST = 0.1
"""Share of a picture's side below which no face is drawn."""


class BlendNeuralParams(BlendSelfParams):
    """Those of `blend-self`, and: model: name or path of an autoencoder. channels: of its bottleneck,
    (fewest, most), one is drawn. scale: the side of what the network draws as a share of the picture's, (low,
    high): its faces are often smaller than those they replace.

    The other ranges are narrower by default: a swap's colour and place are nearly right, and what tells it is
    how it was drawn.
    """

    ratios: tuple[float, ...] = Field((0.75, 1.0, 1.0, 1.0), min_length=1)
    rgb_shift: float = Field(5.0, ge=0)
    hue: float = Field(4.0, ge=0)
    saturation: float = Field(0.12, ge=0, lt=1)
    value: float = Field(0.06, ge=0, lt=1)
    contrast: float = Field(0.06, ge=0, lt=1)
    zoom: float = Field(0.03, ge=0)
    shift: float = Field(0.015, ge=0)
    detail: float = Field(0.0, ge=0)
    model: str = "faces-autoencoder"
    channels: tuple[int, int] = (8, 32)
    scale: tuple[float, float] = (0.7, 1.0)

    @model_validator(mode="after")
    def _ranges(self) -> BlendNeuralParams:
        if not 1 <= self.channels[0] <= self.channels[1]:
            raise ValueError("channels: from 1, the first no more than the second")
        if not SMALLEST <= self.scale[0] <= self.scale[1] <= 1:
            raise ValueError(f"scale: between {SMALLEST} and 1, the first no more than the second")
        return self


@forgery(
    "blend-neural",
    family="blend",
    uses="none",
    params=BlendNeuralParams,
    weights={"model": "autoencoder"},
    paper=(
        "after Rajan et al., Aligned datasets improve detection of latent diffusion-generated images, ICLR"
        " 2025"
    ),
)
class BlendNeural(BlendSelf):
    """The face through an autoencoder, blended onto its own picture: a decoder's traces, without anybody
    else's face.
    """

    detail_gain, detail_rounds = (
        2.5,
        3,
    )  # one picture, drawn softly: there is less to bring back than of two that cancel

    def _draw(self, rng: np.random.Generator) -> dict[str, Any]:
        low, high = self.params.channels
        own = super()._draw(rng)
        return own | {
            "channels": int(rng.integers(low, high + 1)),
            "scale": round(float(rng.uniform(*self.params.scale)), 4),
        }

    def _start(self, base: Float, drawn: dict[str, Any]) -> Float:
        """The picture as the decoder draws it."""
        return drawn_by(self.params.model, base, drawn["channels"], drawn["scale"])


def drawn_by(model: str, image: Float, channels: int, scale: float) -> Float:
    """`image` at `scale` of its size, as the decoder draws it, at its own size again: float32 [H, W, 3] in
    [0, 255].
    """
    from generators.autoencoder.files import decoded

    height, width = image.shape[:2]
    small = (max(8, round(width * scale)), max(8, round(height * scale)))
    made = decoded(cv2.resize(image, small, interpolation=cv2.INTER_AREA), channels, model)
    return cv2.resize(made, (width, height), interpolation=cv2.INTER_CUBIC).clip(0, 255)
