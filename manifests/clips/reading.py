"""The picture of a clip at 25 frames a second and its sound at 16 kHz, mono, both from the first frame on.

Frames are taken by their times, so a variable frame rate, or 30 frames a second, come out in step with the
sound.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import numpy.typing as npt

from manifests.clips.facts import SOUND_CONTAINERS, ClipFacts, clip_facts
from manifests.errors import DataError
from manifests.escaping import printable
from manifests.h264 import video_library
from manifests.images import Image
from manifests.video_frames import container_of, matrix_of, pictures_of, upright

FPS = 25
"""Frames a second of everything audio-visual here, as AV-HuBERT has it."""
RATE = 16_000
"""Samples a second."""
PER_FRAME = RATE // FPS
"""Samples of sound to one frame: 640."""
MOST_SECONDS = 1200
"""Of a clip: longer ones are refused, not cut without a word."""
Sound = npt.NDArray[np.float32]


def _too_long(name: str, what: str) -> DataError:
    return DataError(
        name, f"has {what} of more than {MOST_SECONDS} s, which is not read", "cut it into shorter clips"
    )


def frames_at(path: Path, fps: float = FPS) -> Iterator[Image]:
    """The frames that a clip shows at the times 0, 1/fps, 2/fps, ...: uint8 [H, W, 3] RGB, upright, one at a
    time.

    Args:
        path: of a clip.
        fps: frames a second.

    Raises:
        MissingError: `av` is not installed. DataError: no video, without a frame, or too long.
    """
    av, name = video_library(str(path)), printable(str(path))
    current: Image | None = None
    start, last, step, given = 0.0, 0.0, 1 / fps, 0
    with container_of(av, path) as container:
        stream = pictures_of(container, name)
        length = 1 / float(stream.average_rate) if stream.average_rate else step
        for frame in container.decode(stream):
            picture = upright(frame.to_ndarray(format="rgb24"), matrix_of(frame))
            at = frame.time if frame.time is not None else (start + last + (0 if current is None else length))
            if current is None:
                start = at
            last = max(last, at - start)
            if last > MOST_SECONDS:
                raise _too_long(name, "a picture")
            while current is not None and (given + 0.5) * step <= last:
                yield current
                given += 1
            current = picture
    if current is None:
        raise DataError(name, "has no frame", "remove the file or fetch it again")
    while given == 0 or (given + 0.5) * step < last + length:
        yield current
        given += 1


def sound_of(path: Path, rate: int = RATE) -> Sound:
    """The sound of a clip or of a file of sound, its channels mixed: float32 [N] in [-1, 1].

    Args:
        path: of a clip, or of a file of sound.
        rate: samples a second that it is brought to.

    Raises:
        MissingError: `av` is not installed. DataError: no sound, or more of it than is read.
    """
    return timed_sound(path, rate)[0]


def timed_sound(path: Path, rate: int = RATE) -> tuple[Sound, float]:
    """`sound_of`, and the time of its first sample on the file's own clock, seconds. Errors as `sound_of`.

    The time is the decoder's: packets begin earlier, with what an encoder puts before the sound.
    """
    av, name = video_library(str(path)), printable(str(path))
    parts: list[Sound] = []
    count = 0
    start: float | None = None
    with container_of(av, path, SOUND_CONTAINERS) as container:
        stream = next(iter(container.streams.audio), None)
        if stream is None or stream.codec_context is None:
            raise DataError(name, "has no sound", "leave it out, or give its sound as a file")
        resampler = av.AudioResampler(format="flt", layout="mono", rate=rate)
        for frame in container.decode(stream):
            start = frame.time if start is None else start
            for piece in resampler.resample(frame):
                parts.append(piece.to_ndarray().reshape(-1).astype(np.float32))
                count += len(parts[-1])
            if count > MOST_SECONDS * rate:
                raise _too_long(name, "a sound")
        if count:
            parts += [piece.to_ndarray().reshape(-1).astype(np.float32) for piece in resampler.resample(None)]
    sound = np.concatenate(parts) if parts else np.zeros(0, np.float32)
    if not len(sound):
        raise DataError(name, "has no sound", "leave it out, or give its sound as a file")
    if not np.isfinite(sound).all():
        raise DataError(name, "has sound that is not finite", "save it again")
    return np.clip(sound, -1, 1), start or 0.0


def in_step(sound: Sound, start: float, rate: int = RATE) -> Sound:
    """The sound from the picture's first frame on: what is before is cut, what is lacking is silence.

    Args:
        sound: float32 [N].
        start: seconds from the first frame to the first sample.
        rate: samples a second.
    """
    shift = round(start * rate)
    if shift >= 0:
        return np.concatenate([np.zeros(min(shift, MOST_SECONDS * rate), np.float32), sound])
    return sound[-shift:]


def clip_sound(path: Path, audio_path: Path | None = None, facts: ClipFacts | None = None) -> Sound:
    """The sound that belongs to a clip's picture, from its first frame on: float32 [N] at 16 kHz.

    Args:
        path: of the clip.
        audio_path: a file of sound beside it, which starts with the picture.
        facts: of the clip, if known.

    Raises:
        MissingError, DataError: as `sound_of`.
    """
    if audio_path is not None:
        return sound_of(audio_path)
    sound, start = timed_sound(path)
    return in_step(sound, start - (facts or clip_facts(path)).first)


def notes_of(facts: ClipFacts, sound: Sound) -> list[str]:
    """What a user should know of a clip that is used all the same, in words.

    Args:
        facts: of the clip.
        sound: in step with its picture, 16 kHz.
    """
    notes = []
    if facts.uneven:
        notes.append(f"its frame rate varies (mean {facts.fps:.2f}): frames were taken by their times")
    if facts.sound is not None and facts.sound.sample_rate < RATE:
        notes.append(f"its sound has {facts.sound.sample_rate} samples a second: it was brought to {RATE}")
    over = len(sound) / RATE - facts.duration
    if abs(over) > 2 / FPS:
        words = "longer" if over > 0 else "shorter"
        notes.append(f"its sound is {abs(over):.2f} s {words} than its picture: what both have was used")
    return notes
