"""`av-revoice`: the same words by another voice, a little faster or slower."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from pydantic import Field, model_validator

from generators.talking.base import ClipForger, Parts, clip_forgery
from generators.talking.scenes import Scene
from generators.talking.speech import draw_voice
from generators.talking.tracks import said_again, same_place, window
from manifests.registry import Params

MOST_RATE = 0.3
"""The most by which speech is made faster or slower, as a share."""


class AvRevoiceParams(Params):
    """rate: by how much faster or slower, (least, most) share of the words a minute, drawn with either
    sign.
    """

    rate: tuple[float, float] = Field((0.04, 0.12))

    @model_validator(mode="after")
    def _range(self) -> AvRevoiceParams:
        if not 0 <= self.rate[0] <= self.rate[1] <= MOST_RATE:
            raise ValueError(f"rate: from 0 to {MOST_RATE:g}, the first no more than the second")
        return self


@clip_forgery("av-revoice", family="synthesis", params=AvRevoiceParams)
class AvRevoice(ClipForger):
    """What is said is said anew by another voice of the same perceived gender: in step where the clip begins,
    less and less after.
    """

    def parts(self, scene: Scene, other: Scene | None, rng: np.random.Generator) -> Parts:
        rate = 1 + float(rng.uniform(*self.params.rate)) * (1 if rng.random() < 0.5 else -1)
        voice = draw_voice(str(scene.face.gender), rng, scene.voice)
        voice = replace(voice, speed=round(scene.voice.speed * rate))
        track = said_again(scene.track, voice)
        start = min(same_place(scene.track, track, scene.start), max(track.seconds - scene.seconds, 0.0))
        sound = window(track, start, scene.seconds, scene.rng("sound"))
        return Parts(
            scene.pictures,
            sound,
            {"voice": voice.name, "pitch": voice.pitch, "speed": voice.speed, "start": round(start, 3)},
        )
