"""`av-face-swap`: another face in every frame, by a forgery of pictures with one draw for the whole clip."""

from __future__ import annotations

from typing import Any

import numpy as np
from pydantic import Field, field_validator

from generators.forgeries import FORGERIES, get
from generators.forgeries.second_face import facing
from generators.talking.base import ClipForger, Parts, clip_forgery
from generators.talking.renderer import TalkingFace
from generators.talking.scenes import Scene
from manifests.registry import Params
from manifests.seeding import rng_of

SWAP: dict[str, Any] = {"shape": (0.0, 0.0), "match_detail": 0.0, "max_yaw_gap": 0.7, "max_mouth_gap": 1.0}
"""Of `swap-delaunay`: the shape of the face stays, since shapes of two faces that move would tremble; frames
are soft already; and who goes with whom is chosen before, nearest in pose.
"""


class AvFaceSwapParams(Params):
    """forgery: of pictures (`fairforge list forgeries`), one that needs no driver. params: of it, beside
    `SWAP` where it is `swap-delaunay`.
    """

    forgery: str = "swap-delaunay"
    params: dict[str, Any] = Field(default_factory=dict)

    @field_validator("forgery")
    @classmethod
    def _swaps(cls, value: str) -> str:
        if (
            value not in FORGERIES.names()
            or FORGERIES.get(value).facts["uses"] == "driver"
            or FORGERIES.get(value).facts["latent"]
        ):
            raise ValueError("is no forgery of pictures that takes a face or none")
        return value


@clip_forgery("av-face-swap", family="swap", uses="face", params=AvFaceSwapParams)
class AvFaceSwap(ClipForger):
    """Face replaced in every frame; the other face is made to say the same, so that picture and sound stay in
    step.
    """

    def parts(self, scene: Scene, other: Scene | None, rng: np.random.Generator) -> Parts:
        assert other is not None
        usual = SWAP if self.params.forgery == "swap-delaunay" else {}
        forger = get(self.params.forgery)({**usual, **self.params.params})
        seed = int(rng.integers(2**62))
        frames, drawn = [], {}
        speaker = _facing(other, scene)
        for number, image in enumerate(scene.pictures):
            target = scene.frame_face(number, image, scene.controls)
            control, head = scene.controls[number], scene.head[number]
            source = other.face.model_copy(
                update={"image": speaker.frame(control, head), "landmarks": speaker.landmarks(control, head)}
            )
            made = forger.forge(target, source if forger.uses != "none" else None, rng_of(seed, "frame"))
            frames.append(made.image)
            drawn = made.record.params
        return Parts(frames, scene.sound, {"forgery": self.params.forgery, "drawn": drawn})


def _facing(other: Scene, scene: Scene) -> TalkingFace:
    """The other face, mirrored where it looks more the scene's way so: once for the clip, since a frame by
    itself may differ.
    """
    assert scene.face.landmarks is not None
    image, points, mirrored = facing(other.face, scene.face.landmarks.astype(np.float32))
    if not mirrored:
        return other.talking
    return TalkingFace(
        other.face.model_copy(update={"image": image, "landmarks": points}), other.talking.shape.style
    )
