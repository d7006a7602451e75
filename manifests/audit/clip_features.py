"""Trivial features of a clip: what could tell real from fake without watching or listening.

Three kinds. `file`: bytes, container, codec, size, frames, frame rate, duration, bit rate. `sound`: whether
there is any, codec, sample rate, channels, bit rate, where it starts, how much longer than the picture it is,
leading and trailing silence (the shortcut of Smeu et al., CVPR 2025). `content`: loudness, peak, share of
silence.
"""

from __future__ import annotations

import zlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from manifests.clips.facts import SoundFacts, clip_facts, sound_facts
from manifests.clips.reading import RATE, Sound, sound_of
from manifests.clips.silence import FLOOR, THRESHOLD, leading_silence, loudness, trailing_silence
from manifests.containment import inside
from manifests.errors import DataError
from manifests.watching import watched

CLIP_FILE_FEATURES = (
    "bytes",
    "container",
    "picture_codec",
    "width",
    "height",
    "frames",
    "fps",
    "uneven_fps",
    "duration",
    "picture_bit_rate",
)
CLIP_SOUND_FEATURES = (
    "has_sound",
    "sound_codec",
    "sample_rate",
    "channels",
    "sound_bit_rate",
    "sound_start",
    "sound_longer",
    "leading_silence",
    "trailing_silence",
)
CLIP_CONTENT_FEATURES = ("loudness", "peak", "silent_share")
CLIP_FEATURES = CLIP_FILE_FEATURES + CLIP_SOUND_FEATURES + CLIP_CONTENT_FEATURES
Floats = npt.NDArray[np.float64]


def _code(name: str) -> float:
    """A number for a word, the same on every machine."""
    return float(zlib.crc32(name.encode()) % 9973)


def _of_sound(facts: SoundFacts | None, sound: Sound, duration: float) -> list[float]:
    if facts is None:
        return [0.0] * len(CLIP_SOUND_FEATURES)
    return [
        1.0,
        _code(facts.codec),
        facts.sample_rate,
        facts.channels,
        facts.bit_rate,
        facts.start,
        len(sound) / RATE - duration,
        leading_silence(sound),
        trailing_silence(sound),
    ]


def _of_content(sound: Sound) -> list[float]:
    if not len(sound):
        return [FLOOR, 0.0, 1.0]
    level = np.abs(sound)
    return [loudness(sound), float(level.max()), float((level <= THRESHOLD).mean())]


def clip_features(path: Path, audio_path: Path | None = None) -> list[float]:
    """All `CLIP_FEATURES` of one clip; sound as the decoder gives it, so that its silence is the file's own.

    Args:
        path: of the clip.
        audio_path: a file of sound beside it.

    Raises:
        MissingError: `av` is not installed. DataError: missing or unreadable; the path is in the message.
    """
    if not path.is_file():
        raise DataError(str(path), "is not there, but the manifest names it", "make the dataset again")
    facts = clip_facts(path)
    heard = sound_facts(audio_path) if audio_path is not None else facts.sound
    sound = sound_of(audio_path or path) if heard is not None else np.zeros(0, np.float32)
    return [
        path.stat().st_size,
        _code(facts.container),
        _code(facts.codec),
        facts.width,
        facts.height,
        facts.frames,
        facts.fps,
        float(facts.uneven),
        facts.duration,
        facts.bit_rate,
        *_of_sound(heard, sound, facts.duration),
        *_of_content(sound),
    ]


def clip_matrix(rows: Sequence[Mapping[str, Any]], folder: Path) -> Floats:
    """float64 [N, len(CLIP_FEATURES)] of rows with `path` and `audio_path` below `folder`; errors as
    `clip_features`.
    """
    found = [
        clip_features(
            inside(folder, row["path"]), inside(folder, row["audio_path"]) if row["audio_path"] else None
        )
        for row in watched(rows, "features", "clips")
    ]
    return np.array(found, np.float64).reshape(len(rows), len(CLIP_FEATURES))
