"""`av-foreign`: the sound of another person's clip."""

from __future__ import annotations

import numpy as np

from generators.talking.base import ClipForger, Parts, clip_forgery
from generators.talking.scenes import Scene


@clip_forgery("av-foreign", family="swap", uses="voice")
class AvForeign(ClipForger):
    """Picture of one clip, sound of another person's of the same perceived gender."""

    def parts(self, scene: Scene, other: Scene | None, rng: np.random.Generator) -> Parts:
        assert other is not None
        return Parts(scene.pictures, other.sound, {})
