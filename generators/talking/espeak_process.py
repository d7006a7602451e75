"""One utterance by the library espeak-ng: JSON on stdin, times of phonemes and samples on stdout. Run as a
program of its own.

In a process of its own a sentence has the same samples each time; in one that spoke before, it has not. The
standard library alone is used, so that the process starts quickly.
"""

from __future__ import annotations

import base64
import ctypes
import json
import sys
from typing import Any

RETRIEVAL, PHONEME_EVENTS = 1, 1
UTF8, CHARACTERS = 1, 1
SPEED, PITCH, RANGE = 1, 3, 4
END, PHONEME = 0, 7


class _Name(ctypes.Union):
    _fields_ = (("number", ctypes.c_int), ("name", ctypes.c_char_p), ("text", ctypes.c_char * 8))


class _Event(ctypes.Structure):
    _fields_ = (
        ("type", ctypes.c_int),
        ("identifier", ctypes.c_uint),
        ("position", ctypes.c_int),
        ("length", ctypes.c_int),
        ("milliseconds", ctypes.c_int),
        ("sample", ctypes.c_int),
        ("data", ctypes.c_void_p),
        ("id", _Name),
    )


def utterance(library: str, text: str, voice: str, pitch: int, spread: int, speed: int) -> dict[str, Any]:
    """What is said, as JSON: `rate`, `samples` (base64 of int16), `phones` ([sample, name] in order); or
    `problem`.
    """
    espeak = ctypes.CDLL(library)
    espeak.espeak_Synth.argtypes = [
        ctypes.c_char_p,
        ctypes.c_size_t,
        ctypes.c_uint,
        ctypes.c_int,
        ctypes.c_uint,
        ctypes.c_uint,
        ctypes.c_void_p,
        ctypes.c_void_p,
    ]
    rate = int(espeak.espeak_Initialize(RETRIEVAL, 200, None, PHONEME_EVENTS))
    if rate <= 0:
        return {"problem": "its data cannot be read"}
    samples, phones = bytearray(), []

    def heard(wave: Any, count: int, events: Any) -> int:
        if wave and count > 0:
            samples.extend(ctypes.string_at(wave, 2 * count))
        number = 0
        while events[number].type != END:
            if events[number].type == PHONEME:
                phones.append([events[number].sample, events[number].id.text.decode("utf-8", "replace")])
            number += 1
        return 0

    call = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_void_p, ctypes.c_int, ctypes.POINTER(_Event))(heard)
    espeak.espeak_SetSynthCallback(call)
    if espeak.espeak_SetVoiceByName(voice.encode()):
        return {"problem": f"it has no voice {voice}"}
    for what, value in ((SPEED, speed), (PITCH, pitch), (RANGE, spread)):
        espeak.espeak_SetParameter(what, value, 0)
    data = text.encode() + b"\0"
    if espeak.espeak_Synth(data, len(data), 0, CHARACTERS, 0, UTF8, None, None):
        return {"problem": "it did not speak"}
    espeak.espeak_Synchronize()
    return {"rate": rate, "samples": base64.b64encode(bytes(samples)).decode(), "phones": phones}


if __name__ == "__main__":
    json.dump(utterance(**json.load(sys.stdin)), sys.stdout)
