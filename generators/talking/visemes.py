"""Phonemes as mouth shapes, and how the mouth goes from one to the next: 25 frames a second.

Neighbouring sounds share the mouth: each phoneme pulls towards its own shape, strongest at its middle, less
with time from it (dominance functions, after Cohen & Massaro, "Modeling coarticulation in synthetic visual
speech", 1993). Lips that must meet (m, b, p) do meet: closing is not averaged away.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from generators.talking.speech import Phone

FPS = 25
"""Frames a second of everything here, as of clips."""
SHAPE = ("open", "wide", "round", "raise", "tongue")
"""What a mouth shape is made of, each 0 to 1 but `wide`, -1 to 1. open: of the jaw. wide: corners apart.
round: pursed lips. raise: the upper lip shows its teeth. tongue: it is up."""
CONTROLS = (*SHAPE, "close", "tuck")
"""What a frame is made of. close: lips pressed together (m, b, p). tuck: the lower lip at the upper teeth (f,
v)."""
LEAD = 0.03
"""Seconds by which the mouth is ahead of the sound, as people's are."""
REACH = 0.055
"""Seconds in which a phoneme's pull falls to a third."""
CLOSING = 0.045
"""Seconds that lips take to meet, and to part."""
Controls = npt.NDArray[np.float32]


class Target(NamedTuple):
    """A mouth shape, and how strongly it pulls: vowels weakly, s and sh (teeth together) strongly."""

    open: float
    wide: float = 0.0
    round: float = 0.0
    raise_: float = 0.0
    tongue: float = 0.0
    pull: float = 1.2


REST = Target(0.03, pull=0.7)
LIPS, LIP_TEETH = Target(0.10, pull=0.6), Target(0.12, 0.05, 0.0, 0.25, 0.0, 1.2)
TIP, SIBILANT, HUSH = (
    Target(0.24, 0.1, 0, 0.1, 0.8, 0.9),
    Target(0.12, 0.3, 0, 0.45, 0.3, 1.8),
    Target(0.16, -0.1, 0.55, 0.3, 0.2, 1.6),
)
BACK, BREATH, LIQUID = (
    Target(0.28, 0, 0, 0.05, 0.2, 0.7),
    Target(0.3, pull=0.3),
    Target(0.2, -0.1, 0.45, 0, 0.3, 1.1),
)
AH, AE, EH = Target(0.95, 0.0, 0, 0.1), Target(0.85, 0.3, 0, 0.2), Target(0.6, 0.35, 0, 0.15)
EE, IH, UH = Target(0.26, 0.8, 0, 0.35), Target(0.36, 0.45, 0, 0.2), Target(0.45, 0.05, 0, 0.05)
OH, AW, OO = Target(0.5, -0.2, 0.75), Target(0.75, -0.15, 0.55), Target(0.18, -0.3, 1.0, 0, 0, 1.3)

FIRST: dict[str, tuple[Target, ...]] = {
    "m": (LIPS,),
    "b": (LIPS,),
    "p": (LIPS,),
    "f": (LIP_TEETH,),
    "v": (LIP_TEETH,),
    "T": (TIP,),
    "D": (TIP,),
    "t": (TIP,),
    "d": (TIP,),
    "n": (TIP,),
    "l": (TIP,),
    "s": (SIBILANT,),
    "z": (SIBILANT,),
    "S": (HUSH,),
    "Z": (HUSH,),
    "tS": (HUSH,),
    "dZ": (HUSH,),
    "k": (BACK,),
    "g": (BACK,),
    "N": (BACK,),
    "x": (BACK,),
    "h": (BREATH,),
    "r": (LIQUID,),
    "w": (OO,),
    "j": (IH,),
    "aI": (AH, IH),
    "aU": (AH, OO),
    "OI": (AW, IH),
    "oU": (OH, OO),
    "eI": (EH, IH),
    "i": (EE,),
    "I": (IH,),
    "e": (EH,),
    "E": (EH,),
    "a": (AE,),
    "A": (AH,),
    "0": (AW,),
    "O": (AW,),
    "o": (OH,),
    "u": (OO,),
    "U": (OO,),
    "V": (UH,),
    "3": (UH, LIQUID),
    "@": (UH,),
    "_": (REST,),
    "?": (REST,),
}
"""espeak's English phonemes, by how their names begin, and the shapes that each goes through."""
MEET, AT_TEETH = ("m", "b", "p"), ("f", "v")


def targets_of(name: str) -> tuple[Target, ...]:
    """The mouth shapes of a phoneme, by the longest beginning of its name that is known; a mouth at rest for
    any other.
    """
    for length in (2, 1):
        if name[:length] in FIRST:
            return FIRST[name[:length]]
    return (REST,)


def controls_of(phones: Sequence[Phone], start: float, frames: int) -> Controls:
    """What the mouth does in each frame: float32 [frames, 7], columns as `CONTROLS`.

    Args:
        phones: of the speech, in order.
        start: the first frame's time on their clock, seconds.
        frames: how many.
    """
    times = start + LEAD + (np.arange(frames) + 0.5) / FPS
    total = np.full((frames, 1), 1e-3)
    shape = np.full((frames, len(SHAPE)), 0.0)
    shape[:, 0] = 1e-3 * REST.open
    close, tuck = np.zeros(frames), np.zeros(frames)
    for phone in phones:
        if phone.end < times[0] - 1 or phone.start > times[-1] + 1:
            continue
        through = targets_of(phone.name)
        each = (phone.end - phone.start) / len(through)
        for number, target in enumerate(through):
            low = phone.start + number * each
            away = np.maximum(np.abs(times - (low + each / 2)) - each / 4, 0)
            pull = (target.pull * np.exp(-away / REACH) * min(1.0, 0.35 + each / 0.1))[:, None]
            shape += pull * np.array(target[: len(SHAPE)])
            total += pull
        if phone.name[:1] in MEET:
            close = np.maximum(close, _held(times, phone))
        if phone.name[:1] in AT_TEETH:
            tuck = np.maximum(tuck, _held(times, phone))
    return np.column_stack([shape / total, close, tuck]).astype(np.float32)


def _held(times: npt.NDArray[np.float64], phone: Phone) -> npt.NDArray[np.float64]:
    """1 in the middle of a phoneme, falling smoothly to 0 within `CLOSING` seconds of it."""
    middle, half = (phone.start + phone.end) / 2, max((phone.end - phone.start) / 2 - 0.02, 0.02)
    t = np.clip(1 - (np.abs(times - middle) - half) / CLOSING, 0, 1)
    out: npt.NDArray[np.float64] = t * t * (3 - 2 * t)
    return out
