"""What every forgery of clips shares: the registry and the result.

A forgery of clips is a class with a frozen `Params` model and one method, `forge`; a new one is one new file
in `methods`.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Literal, TypeVar

import numpy as np

from generators.talking.scenes import Scene
from generators.talking.speech import Sound
from manifests.errors import UsageError
from manifests.records import ForgeryRecord, Image
from manifests.registry import Params, Registry

Partner = Literal["none", "voice", "face"]
F = TypeVar("F", bound="type[ClipForger]")


@dataclass(frozen=True)
class ForgedClip:
    """A fake clip. frames: uint8 [H, W, 3] each. sound: float32 [N] at 16 kHz. record: how it was made."""

    frames: Sequence[Image]
    sound: Sound
    record: ForgeryRecord


@dataclass(frozen=True)
class Parts:
    """What a method makes. drawn: its parameters for this clip, of JSON types."""

    frames: Sequence[Image]
    sound: Sound
    drawn: dict[str, Any]


class ClipForger(ABC):
    """Base of the forgeries of clips. `family` and `uses` are set by `clip_forgery`."""

    name: ClassVar[str]
    family: ClassVar[str]
    uses: ClassVar[Partner]

    def __init__(self, params: Params) -> None:
        self.params: Any = params

    @abstractmethod
    def parts(self, scene: Scene, other: Scene | None, rng: np.random.Generator) -> Parts:
        """Picture and sound of the fake, and what was drawn.

        Raises:
            ForgeryError: these scenes cannot be used together.
        """

    def forge(self, scene: Scene, other: Scene | None) -> ForgedClip:
        """Make a fake of a scene; the same scenes give the same fake.

        Args:
            scene: the real clip.
            other: another person's, where `uses` is not `none`: of the same perceived gender.

        Raises:
            UsageError: the other scene is needed and missing. ForgeryError: as `parts`. MissingError,
                DataError: as `speech.speak`.
        """
        if other is None and self.uses != "none":
            raise UsageError(
                f"clip forgery {self.name!r}", f"needs another person's {self.uses}", "give a second scene"
            )
        rng = scene.rng("forge", self.name)
        made = self.parts(scene, other if self.uses != "none" else None, rng)
        face, theirs = scene.face, other.face if other is not None and self.uses != "none" else None
        gives_face = theirs is not None and self.uses == "face"
        record = ForgeryRecord(
            method=self.name,
            family=self.family,
            target_id=face.image_id,
            target_cell=face.cell,
            source_id=theirs.image_id if theirs is not None and gives_face else None,
            source_cell=theirs.cell if theirs is not None and gives_face else None,
            driver_id=theirs.image_id if theirs is not None and not gives_face else None,
            seed=scene.seed,
            params=made.drawn,
            licence="Apache-2.0",
        )
        return ForgedClip(made.frames, made.sound, record)


CLIP_FORGERIES: Registry[ClipForger] = Registry("clip-forgeries", "generators.talking.methods")


def clip_forgery(
    name: str,
    *,
    family: str,
    uses: Partner = "none",
    params: type[Params] = Params,
    paper: str = "",
) -> Callable[[F], F]:
    """Decorate a `ClipForger`: put it in `CLIP_FORGERIES` and set its class variables. uses: what another
    person gives.
    """

    def decorate(cls: F) -> F:
        cls.name, cls.family, cls.uses = name, family, uses
        return CLIP_FORGERIES.register(name, family=family, params=params, paper=paper, uses=uses)(cls)

    return decorate
