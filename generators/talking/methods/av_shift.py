"""`av-shift`: a clip's own sound, too early or too late."""

from __future__ import annotations

import numpy as np
from pydantic import Field, model_validator

from generators.talking.base import ClipForger, Parts, clip_forgery
from generators.talking.scenes import MARGIN, Scene
from generators.talking.tracks import window
from manifests.registry import Params


class AvShiftParams(Params):
    """shift: seconds, (least, most), drawn with either sign."""

    shift: tuple[float, float] = Field((0.2, 0.5))

    @model_validator(mode="after")
    def _range(self) -> AvShiftParams:
        if not 0 < self.shift[0] <= self.shift[1] <= MARGIN:
            raise ValueError(f"shift: above 0, the first no more than the second, at most {MARGIN}")
        return self


@clip_forgery(
    "av-shift",
    family="edit",
    params=AvShiftParams,
    paper="AVPF, arXiv 2604.09110: sound shifted by .2 to .5 s",
)
class AvShift(ClipForger):
    """The same speech, heard before or after it is seen; nothing is silent instead, since the speech goes on
    beyond the clip.
    """

    def parts(self, scene: Scene, other: Scene | None, rng: np.random.Generator) -> Parts:
        shift = round(float(rng.uniform(*self.params.shift)) * (1 if rng.random() < 0.5 else -1), 3)
        sound = window(scene.track, scene.start + shift, scene.seconds, scene.rng("sound"))
        return Parts(scene.pictures, sound, {"shift": shift})
