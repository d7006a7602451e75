"""What a clip's file says of its picture and sound, by its packets: nothing is decoded."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np

from manifests.errors import DataError
from manifests.escaping import printable
from manifests.h264 import video_library
from manifests.video_frames import CONTAINERS, FETCH, MAX_FRAMES, container_of, pictures_of

SOUND_SUFFIXES = (".wav", ".flac", ".mp3", ".ogg", ".m4a", ".aac")
SOUND_CONTAINERS = (*CONTAINERS, "wav", "flac", "mp3", "ogg", "aac")
"""FFmpeg's names of the containers that sound is read from; that of a clip itself, or of a file beside it."""
UNEVEN = 1.5
"""Frames that last this many times the median make the frame rate a variable one."""


@dataclass(frozen=True)
class SoundFacts:
    """Sound of a file. sample_rate: Hz. duration: seconds. bit_rate: bits a second.

    start: seconds from the picture's first frame to the first packet; that of AAC begins before its first
    sample.
    """

    codec: str
    sample_rate: int
    channels: int
    duration: float
    bit_rate: float
    start: float


@dataclass(frozen=True)
class ClipFacts:
    """A clip. fps: mean frames a second. duration: seconds of the picture. bit_rate: bits a second, of the
    picture.

    first: time of the first frame on the file's own clock, seconds. uneven: whether the frame rate varies.
    sound: None where there is none.
    """

    container: str
    codec: str
    width: int
    height: int
    frames: int
    fps: float
    duration: float
    bit_rate: float
    first: float
    uneven: bool
    sound: SoundFacts | None


@dataclass
class _Track:
    """Packets of one stream: their times and lengths in seconds, and their bytes."""

    times: list[float]
    lengths: list[float]
    size: int = 0

    def add(self, packet: Any) -> None:
        at = packet.pts if packet.pts is not None else packet.dts
        if at is not None:
            self.times.append(float(at * packet.time_base))
            self.lengths.append(float((packet.duration or 0) * packet.time_base))
        self.size += packet.size


def _tracks(container: Any, streams: list[Any], name: str) -> list[_Track]:
    found = {stream.index: _Track([], []) for stream in streams}
    for number, packet in enumerate(container.demux(streams)):
        if number > 2 * MAX_FRAMES:
            raise DataError(
                name, f"has more than {2 * MAX_FRAMES} packets, which are not read", "cut it first"
            )
        if packet.size:
            found[packet.stream.index].add(packet)
    return [found[stream.index] for stream in streams]


def _rate(times: np.ndarray, said: Fraction | None) -> tuple[float, bool]:
    """Mean frames a second by the frames' times, else as the file says; and whether it varies."""
    steps = np.diff(np.sort(times))
    steps = steps[steps > 0]
    if not len(steps):
        return float(said or 25), False
    return float(1 / steps.mean()), bool(steps.max() > UNEVEN * np.median(steps))


def _sound_facts(stream: Any, track: _Track, first: float) -> SoundFacts | None:
    if not track.times or stream.codec_context is None or not stream.codec_context.sample_rate:
        return None
    start = min(track.times)
    end = max(at + length for at, length in zip(track.times, track.lengths, strict=True))
    seconds = max(end - start, 1e-6)
    context = stream.codec_context
    return SoundFacts(
        context.name,
        int(context.sample_rate),
        int(context.layout.nb_channels),
        seconds,
        8 * track.size / seconds,
        start - first,
    )


def clip_facts(path: Path) -> ClipFacts:
    """The facts of a clip's file.

    Raises:
        MissingError: `av` is not installed. DataError: not there, no video, or without a frame.
    """
    av, name = video_library(str(path)), printable(str(path))
    with container_of(av, path) as container:
        picture = pictures_of(container, name)
        sounds = list(container.streams.audio)[:1]
        context, said, kind = picture.codec_context, picture.average_rate, container.format.name
        codec, width, height = context.name, context.width, context.height
        track, *heard = _tracks(container, [picture, *sounds], name)
        if not track.times:
            raise DataError(name, "has no frame", FETCH)
        first = min(track.times)
        sound = _sound_facts(sounds[0], heard[0], first) if sounds else None
    fps, uneven = _rate(np.array(track.times), said)
    seconds = max(track.times) - first + 1 / fps
    return ClipFacts(
        kind,
        codec,
        width,
        height,
        len(track.times),
        fps,
        seconds,
        8 * track.size / seconds,
        first,
        uneven,
        sound,
    )


def sound_facts(path: Path) -> SoundFacts:
    """The facts of a file of sound; it starts at 0.

    Raises:
        MissingError: `av` is not installed. DataError: not there, or without sound.
    """
    av, name = video_library(str(path)), printable(str(path))
    with container_of(av, path, SOUND_CONTAINERS) as container:
        streams = list(container.streams.audio)[:1]
        tracks = _tracks(container, streams, name) if streams else []
        first = min(tracks[0].times, default=0.0) if tracks else 0.0
        found = _sound_facts(streams[0], tracks[0], first) if tracks else None
    if found is None:
        raise DataError(name, "has no sound", "give a file with sound")
    return found
