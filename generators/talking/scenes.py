"""A scene: who speaks, what, and how the head moves; its picture and its sound are in step by
construction.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from generators.talking.face_shape import Style
from generators.talking.motion import Head, head_of
from generators.talking.renderer import TalkingFace
from generators.talking.speech import Sound, Voice, draw_voice
from generators.talking.tracks import Track, speech_track, window
from generators.talking.visemes import FPS, Controls, controls_of
from manifests.records import Face, Image
from manifests.seeding import rng_of

MARGIN = 0.6
"""Seconds of speech before and after every clip."""
STARTS = 1.0
"""Seconds within which a clip begins after that."""


@dataclass(frozen=True)
class Scene:
    """One real clip, as it will be. face: with landmarks. seed: of all that is drawn. frames: how many, at 25
    a second.
    """

    face: Face
    seed: int
    frames: int

    def rng(self, *what: str | int) -> np.random.Generator:
        """The generator of one thing that is drawn for this scene."""
        return rng_of(self.seed, "talk", self.face.image_id, *what)

    @property
    def seconds(self) -> float:
        return self.frames / FPS

    @cached_property
    def voice(self) -> Voice:
        """Of the face's perceived gender."""
        return draw_voice(str(self.face.gender), self.rng("voice"))

    @cached_property
    def track(self) -> Track:
        return self.another_track("track")

    def another_track(self, *what: str | int) -> Track:
        """Speech by this scene's voice, long enough for a clip and what is around it."""
        return speech_track(self.voice, self.rng(*what), self.seconds + 2 * MARGIN + STARTS)

    @cached_property
    def start(self) -> float:
        """Seconds in the track at which the clip begins; whole samples."""
        return round(MARGIN + float(self.rng("start").uniform(0, STARTS)), 3)

    @cached_property
    def sound(self) -> Sound:
        """Float32 [frames * 640] at 16 kHz."""
        return window(self.track, self.start, self.seconds, self.rng("sound"))

    @cached_property
    def controls(self) -> Controls:
        return controls_of(self.track.phones, self.start, self.frames)

    @cached_property
    def head(self) -> Head:
        return head_of(self.frames, self.rng("head"))

    @cached_property
    def talking(self) -> TalkingFace:
        """The face, ready to speak. Raises ForgeryError where its landmarks cannot be used."""
        rng = self.rng("style")
        return TalkingFace(self.face, Style(float(rng.uniform(0.27, 0.36)), float(rng.uniform(0.8, 1.2))))

    @cached_property
    def pictures(self) -> list[Image]:
        """All frames: uint8 [H, W, 3]."""
        return list(self.talking.frames(self.controls, self.head))

    def frame_face(self, number: int, image: Image, controls: Controls) -> Face:
        """A frame as a face with its landmarks."""
        points = self.talking.landmarks(controls[number], self.head[number])
        return self.face.model_copy(update={"image": image, "landmarks": points})
