"""`av-redrive`: a mouth that says something else than is heard."""

from __future__ import annotations

import numpy as np

from generators.talking.base import ClipForger, Parts, clip_forgery
from generators.talking.scenes import Scene
from generators.talking.visemes import controls_of


@clip_forgery("av-redrive", family="reenact")
class AvRedrive(ClipForger):
    """The face moves by other sentences of the same voice; head, blinks and sound stay."""

    def parts(self, scene: Scene, other: Scene | None, rng: np.random.Generator) -> Parts:
        track = scene.another_track("forge", self.name, "track")
        controls = controls_of(track.phones, scene.start, scene.frames)
        return Parts(
            list(scene.talking.frames(controls, scene.head)), scene.sound, {"sentences": list(track.texts)}
        )
