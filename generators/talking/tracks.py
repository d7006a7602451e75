"""Minutes of speech in pieces: sentences by one voice, one after another, and windows of them as clips have.

A clip is a window inside speech that goes on before and after it, real and fake alike, with a faint noise of
a room under it: where a sound begins, how long it is silent and how loud it is say nothing of what was done
to it.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from generators.talking.sentences import SENTENCES
from generators.talking.speech import RATE, Phone, Sound, Voice, speak

GAP = (0.06, 0.22)
"""Seconds between sentences."""
PAUSE = "_"
"""How espeak's names of silence begin."""
ROOM = (0.0012, 0.0022)
"""Root mean square of the noise of the room."""
GAIN = (-3.0, 3.0)
"""dB about the loudness of speech."""
LOUDNESS = 0.07
"""Root mean square of a window at 0 dB."""


@dataclass(frozen=True)
class Track:
    """Speech. texts: what is said. gaps: seconds after each. voice: who says it. sound: float32 [N] at 16
    kHz. phones: in order.

    begins: of each sentence, seconds.
    """

    texts: tuple[str, ...]
    gaps: tuple[float, ...]
    voice: Voice
    sound: Sound
    phones: tuple[Phone, ...]
    begins: tuple[float, ...]

    @property
    def seconds(self) -> float:
        return len(self.sound) / RATE


def _said(text: str, voice: Voice) -> tuple[Sound, list[Phone]]:
    """A sentence without the pause that espeak puts at its end."""
    spoken = speak(text, voice)
    phones = list(spoken.phones)
    while phones and phones[-1].name.startswith(PAUSE):
        phones.pop()
    end = phones[-1].end if phones else len(spoken.sound) / RATE
    return spoken.sound[: round(end * RATE)], phones


def _joined(texts: tuple[str, ...], gaps: tuple[float, ...], voice: Voice) -> Track:
    sounds: list[Sound] = []
    phones: list[Phone] = []
    begins: list[float] = []
    at = 0
    for text, gap in zip(texts, gaps, strict=True):
        sound, said = _said(text, voice)
        start = at / RATE
        begins.append(start)
        phones += [Phone(name, start + low, start + high) for name, low, high in said]
        rest = np.zeros(round(gap * RATE), np.float32)
        phones.append(Phone(PAUSE, (at + len(sound)) / RATE, (at + len(sound) + len(rest)) / RATE))
        sounds += [sound, rest]
        at += len(sound) + len(rest)
    return Track(texts, gaps, voice, np.concatenate(sounds), tuple(phones), tuple(begins))


def speech_track(voice: Voice, rng: np.random.Generator, seconds: float) -> Track:
    """Sentences, drawn without one coming twice in a row, until they last so many seconds.

    Raises:
        MissingError, DataError: as `speech.speak`.
    """
    texts: list[str] = []
    gaps: list[float] = []
    lasts = 0.0
    while lasts < seconds:
        left = [text for text in SENTENCES if text not in texts[-20:]]
        texts.append(left[int(rng.integers(len(left)))])
        gaps.append(round(float(rng.uniform(*GAP)), 3))
        lasts += len(_said(texts[-1], voice)[0]) / RATE + gaps[-1]
    return _joined(tuple(texts), tuple(gaps), voice)


def said_again(track: Track, voice: Voice) -> Track:
    """The same sentences by another voice, with the same gaps. Errors as `speech.speak`."""
    return _joined(track.texts, track.gaps, voice)


def same_place(track: Track, other: Track, at: float) -> float:
    """Where in `other`, which says the same, what `track` says at a time is said: seconds."""
    if len(track.phones) != len(other.phones):  # another accent may say a word otherwise
        return at * other.seconds / track.seconds
    index = next((k for k, phone in enumerate(track.phones) if phone.end > at), len(track.phones) - 1)
    mine, theirs = track.phones[index], other.phones[index]
    share = (at - mine.start) / max(mine.end - mine.start, 1e-6)
    return theirs.start + min(max(share, 0.0), 1.0) * (theirs.end - theirs.start)


def window(track: Track, start: float, seconds: float, rng: np.random.Generator) -> Sound:
    """A piece of a track as it was heard in a room: float32 [seconds * 16000].

    Args:
        track: it goes on beyond the piece on both sides.
        start: where the piece begins, in seconds.
        seconds: how long it is.
        rng: draws loudness and noise.
    """
    first, count = round(start * RATE), round(seconds * RATE)
    part = track.sound[first : first + count].astype(np.float64)
    part = np.pad(part, (0, count - len(part)))
    gain = 10 ** (float(rng.uniform(*GAIN)) / 20)
    level = float(np.sqrt(np.mean(part**2)))
    noise = rng.standard_normal(count) * float(rng.uniform(*ROOM))
    return np.clip(part * (LOUDNESS * gain / max(level, 1e-6)) + noise, -1, 1).astype(np.float32)
