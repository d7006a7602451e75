"""Reads a clip into the arrays that a model of sound and picture takes: mouths, lip points, filterbanks."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import lru_cache
from hashlib import blake2b
from typing import Any

from detector.audio_visual.filterbanks import stacked_filterbanks
from manifests.clips.facts import clip_facts
from manifests.clips.reading import FPS, PER_FRAME, clip_sound, frames_at, notes_of, sound_of
from manifests.clips.silence import frames_of_silence, leading_silence, without_start
from manifests.errors import DataError, MissingError
from manifests.images import Image
from pipeline.commands.audio_visual.sources import NamedClip

KEPT = 64
"""Pictures whose mouths are remembered."""


def picture_digest(frames: Iterable[Image]) -> bytes:
    """Digest of what frames show, one after another: a clip and its fake with another sound have the same."""
    found = blake2b(digest_size=32)
    for frame in frames:
        found.update(repr(frame.shape).encode())
        found.update(frame.tobytes())
    return found.digest()


@dataclass
class ClipReader:
    """Reads clips into arrays.

    mouths: a `MouthReader`. trim: without the frames of leading silence. again: the same picture may come
    with several sounds, and its mouths are read once.
    """

    mouths: Any
    trim: bool = False
    again: bool = False
    kept: OrderedDict[bytes, Any] = field(default_factory=OrderedDict)

    def _mouths(self, clip: NamedClip) -> Any:
        if not self.again:
            return self.mouths.read(frames_at(clip.path), clip.key)
        key = picture_digest(frames_at(clip.path))
        if key not in self.kept:
            self.kept[key] = self.mouths.read(frames_at(clip.path), clip.key)
            while len(self.kept) > KEPT:
                self.kept.popitem(last=False)
        return self.kept[key]

    def arrays(self, clip: NamedClip) -> tuple[dict[str, Any], dict[str, Any]]:
        """Arrays of a clip, and what is noted of it (`notes`, `silence`, `found`, `frames`).

        Raises:
            MissingError, DataError: no clip, no sound, no face, or nothing left after trimming.
        """
        if not clip.path.is_file():
            raise MissingError(clip.key, "is not there", "check the path")
        facts = clip_facts(clip.path)
        if clip.audio is None and facts.sound is None:
            raise DataError(clip.key, "has no sound", "leave it out, or give its sound as a file")
        silence = leading_silence(sound_of(clip.audio or clip.path))
        sound = clip_sound(clip.path, clip.audio, facts)
        notes = notes_of(facts, sound)
        read = self._mouths(clip)
        first = frames_of_silence(silence) if self.trim else 0
        mouths, lips, sound = read.mouths[first:], read.lips[first:], without_start(sound, first)
        if len(mouths) < 2 or len(sound) < 2 * PER_FRAME:
            raise DataError(clip.key, f"has less than {2 / FPS:g} s of sound and picture", "leave it out")
        if read.found < 1:
            notes.append(
                f"a face in {read.found:.0%} of its frames: the others repeat the one nearest in time"
            )
        banks = stacked_filterbanks(sound)
        length = min(len(mouths), len(banks))
        arrays = {"mouths": mouths[:length], "lips": lips[:length], "banks": banks[:length]}
        return arrays, {"notes": "; ".join(notes), "silence": silence, "found": read.found, "frames": length}


@lru_cache(maxsize=1)
def mouth_reader(device: str) -> Any:
    """The reader with the embedded face models, loaded once. Errors as `pipeline.engine.models`."""
    from attribute_models import load_face_detector
    from pipeline.commands.audio_visual.mouths import MouthReader
    from pipeline.engine import models
    from pipeline.faces.frame_crops import WHOLE_FRAME

    return MouthReader(
        load_face_detector("mtcnn", device=device, **WHOLE_FRAME),
        models.landmarker("fairforge-mesh148", device),
    )
