"""Speech by espeak-ng: sound at 16 kHz and when each phoneme is said. The same text and voice give the same
samples.

espeak-ng is a program of the system, not of Python (Debian: `apt-get install espeak-ng`); its library is
called in a process of its own for each sentence.
"""

from __future__ import annotations

import base64
import ctypes
import ctypes.util
import json
import subprocess
import sys
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from scipy.signal import resample_poly

from manifests.errors import DataError, MissingError, UsageError

ESPEAK = "espeak-ng"
INSTALL = "apt-get install espeak-ng, or your system's package"
RATE = 16_000
"""Samples a second, as of clips."""
VOICES = {
    "Male": ("m1", "m2", "m3", "m4", "m5", "m6", "m7"),
    "Female": ("f1", "f2", "f3", "f4", "f5"),
}
"""espeak's variants of a voice, by perceived gender."""
ACCENTS = ("en-us", "en-gb-x-rp", "en-gb-scotland", "en-029")
PITCHES = {"Male": (30, 55), "Female": (45, 70)}
SPEEDS = (140, 175)
"""Words a minute."""
LOUDNESS = 0.08
"""Root mean square of an utterance."""
PROCESS = Path(__file__).parent / "espeak_process.py"
SECONDS = 60
"""After which an utterance counts as failed."""
Sound = npt.NDArray[np.float32]


class Phone(NamedTuple):
    """A phoneme by espeak's name; start, end: seconds."""

    name: str
    start: float
    end: float


@dataclass(frozen=True)
class Voice:
    """Who speaks. name: of espeak. pitch, spread: 0 to 99. speed: words a minute."""

    name: str
    pitch: int
    spread: int
    speed: int


@dataclass(frozen=True)
class Spoken:
    """What was said: sound, float32 [N] at 16 kHz, and its phonemes in order, without gaps."""

    sound: Sound
    phones: tuple[Phone, ...]


def draw_voice(gender: str, rng: np.random.Generator, other: Voice | None = None) -> Voice:
    """A voice of a perceived gender, with a variant that is not that of `other`.

    Raises:
        UsageError: a gender without voices.
    """
    if gender not in VOICES:
        raise UsageError(f"gender {gender!r}", "has no voices", f"known are: {', '.join(VOICES)}")
    taken = other.name.partition("+")[2] if other is not None else ""
    variants = [variant for variant in VOICES[gender] if variant != taken]
    accent = other.name.partition("+")[0] if other is not None else ACCENTS[int(rng.integers(len(ACCENTS)))]
    variant = variants[int(rng.integers(len(variants)))]
    low, high = PITCHES[gender]
    return Voice(
        f"{accent}+{variant}",
        int(rng.integers(low, high + 1)),
        int(rng.integers(35, 66)),
        int(rng.integers(SPEEDS[0], SPEEDS[1] + 1)),
    )


@lru_cache(maxsize=1)
def espeak_library() -> str | None:
    """Name of the library espeak-ng, None where it is not installed."""
    return ctypes.util.find_library("espeak-ng")


def check_espeak() -> str:
    """The name of the library espeak-ng.

    Raises:
        MissingError: it is not installed.
    """
    library = espeak_library()
    if library is None:
        raise MissingError(ESPEAK, "is not installed, and speech comes from it", INSTALL)
    return library


@lru_cache(maxsize=1)
def espeak_version() -> str:
    """The version of the library espeak-ng, as it says it; empty where it is not installed."""
    name = espeak_library()
    if name is None:
        return ""
    asked = ctypes.CDLL(name).espeak_Info
    asked.restype = ctypes.c_char_p
    return bytes(asked(None) or b"").decode("ascii", "replace")


def speak(text: str, voice: Voice) -> Spoken:
    """Say a text.

    Raises:
        MissingError: espeak-ng is not installed. DataError: it has no such voice, or says nothing.
    """
    library = check_espeak()
    asked = {
        "library": library,
        "text": text,
        "voice": voice.name,
        "pitch": voice.pitch,
        "spread": voice.spread,
        "speed": voice.speed,
    }
    try:
        done = subprocess.run(
            [sys.executable, "-I", "-S", str(PROCESS)],
            input=json.dumps(asked),
            capture_output=True,
            text=True,
            timeout=SECONDS,
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise DataError(ESPEAK, f"did not end within {SECONDS} s", "install it again") from None
    try:
        said = json.loads(done.stdout)
    except ValueError:
        said = {"problem": f"it failed ({done.stderr.strip()[-200:] or done.returncode})"}
    if "problem" in said:
        raise DataError(ESPEAK, said["problem"], "install it again, with its data (espeak-ng-data)")
    return _spoken(
        np.frombuffer(base64.b64decode(said["samples"]), np.int16), int(said["rate"]), said["phones"]
    )


def _spoken(samples: npt.NDArray[np.int16], rate: int, phones: list[list[object]]) -> Spoken:
    if not len(samples) or not samples.any():
        raise DataError(ESPEAK, "said nothing", "install it again, with its data (espeak-ng-data)")
    shared = int(np.gcd(rate, RATE))
    sound = resample_poly(samples.astype(np.float64) / 32768, RATE // shared, rate // shared)
    sound = (sound * (LOUDNESS / float(np.sqrt(np.mean(sound**2))))).astype(np.float32)
    starts = [int(str(start)) / rate for start, _ in phones] + [len(samples) / rate]
    named = [Phone(str(name), starts[k], max(starts[k], starts[k + 1])) for k, (_, name) in enumerate(phones)]
    return Spoken(sound, tuple(phone for phone in named if phone.end > phone.start))
