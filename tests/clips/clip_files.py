"""Tiny clips that the tests make: a bar that is as high as the sound is loud, so that both are in step by
construction.
"""

from functools import lru_cache
from pathlib import Path
from tempfile import TemporaryDirectory

import av
import numpy as np

from manifests.clips.encoding import encode_clip
from manifests.clips.reading import PER_FRAME
from manifests.seeding import rng_of

SIDE = 32


def envelope(key, frames=20):
    """How loud each frame is: float32 [frames] in [.1, .9]."""
    rng = rng_of(3, "envelope", key)
    knots = rng.uniform(0.1, 0.9, frames // 3 + 3)
    return np.interp(np.arange(frames), 3 * np.arange(len(knots)), knots).astype(np.float32)


def picture(level, side=SIDE):
    """A grey frame with a white bar as high as `level`: uint8 [side, side, 3]."""
    image = np.full((side, side, 3), 60, np.uint8)
    image[: round(float(level) * side), side // 4 : 3 * side // 4] = 220
    return image


def sound_like(levels, key=0):
    """Noise as loud as `levels`, one per frame: float32 [640 x frames]."""
    noise = rng_of(3, "noise", key).standard_normal(len(levels) * PER_FRAME).astype(np.float32)
    return 0.3 * noise.clip(-2, 2) * np.repeat(levels, PER_FRAME)


def make_clip(path, key=0, frames=20, *, side=SIDE, sound=True, lossless=True, heard=None):
    """Write a clip; `heard`: another sound than its own."""
    levels = envelope(key, frames)
    wave = sound_like(levels, key) if heard is None else heard
    encode_clip(
        Path(path), (picture(level, side) for level in levels), wave if sound else None, lossless=lossless
    )
    return Path(path)


@lru_cache
def clip_bytes(key=0, frames=10, sound=True):
    """The bytes of a clip."""
    with TemporaryDirectory() as folder:
        return make_clip(Path(folder) / "a.mp4", key, frames, sound=sound).read_bytes()


def write_wav(path, wave, rate=16_000, channels=1):
    """A WAV of 16 bits."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with av.open(str(path), "w", format="wav") as container:
        stream = container.add_stream("pcm_s16le", rate=rate, layout="mono" if channels == 1 else "stereo")
        data = np.repeat(np.round(np.clip(wave, -1, 1) * 32767).astype(np.int16), channels)[None]
        frame = av.AudioFrame.from_ndarray(data, format="s16", layout="mono" if channels == 1 else "stereo")
        frame.sample_rate = rate
        for packet in [*stream.encode(frame), *stream.encode(None)]:
            container.mux(packet)
    return path


@lru_cache
def sound_bytes():
    """The bytes of a short WAV."""
    with TemporaryDirectory() as folder:
        return write_wav(Path(folder) / "a.wav", sound_like([0.5] * 2)).read_bytes()
