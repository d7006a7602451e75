"""Silence and loudness of sound: the shortcut of Smeu et al. (CVPR 2025, arXiv 2412.00175), and its trimming.

Fakes of two published sets begin with 25 to 30 ms of silence. Silence lasts until a sample is louder than
5e-4.
"""

from __future__ import annotations

import math

import numpy as np

from manifests.clips.reading import FPS, PER_FRAME, RATE, Sound

THRESHOLD = 5e-4
"""A sample whose absolute value is above this is sound."""
FLOOR = -120.0
"""dB: the loudness of digital silence."""


def leading_silence(sound: Sound, threshold: float = THRESHOLD, rate: int = RATE) -> float:
    """Seconds until the first sample above the threshold; all of it where there is none.

    Args:
        sound: float32 [N].
        threshold: on absolute values.
        rate: samples a second.
    """
    loud = np.abs(sound) > threshold
    return float(loud.argmax() if loud.any() else len(sound)) / rate


def trailing_silence(sound: Sound, threshold: float = THRESHOLD, rate: int = RATE) -> float:
    """Seconds after the last sample above the threshold; see `leading_silence`."""
    return leading_silence(sound[::-1], threshold, rate)


def loudness(sound: Sound) -> float:
    """Root mean square in dB of full scale, at least `FLOOR`."""
    power = float(np.mean(sound.astype(np.float64) ** 2)) if len(sound) else 0.0
    return max(FLOOR, 10 * math.log10(power)) if power > 0 else FLOOR


def frames_of_silence(silence: float) -> int:
    """How many frames are dropped for so many seconds of leading silence: int(silence x 25) + 1, as
    published.
    """
    return int(silence * FPS) + 1


def without_start(sound: Sound, frames: int) -> Sound:
    """The sound without so many frames of 640 samples at its start."""
    return sound[frames * PER_FRAME :]


def plant_silence(sound: Sound, seconds: float) -> Sound:
    """A copy whose first samples are zero, as the fakes of the published sets have them.

    Args:
        sound: float32 [N] at 16 kHz.
        seconds: how much of it.
    """
    out = sound.copy()
    out[: round(seconds * RATE)] = 0
    return out
