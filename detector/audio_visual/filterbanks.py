"""Sound as AV-HuBERT hears it: 26 log filterbanks every 10 ms, four stacked, so 104 numbers 25 times a
second.

As `python_speech_features.logfbank` computes them (25 ms windows, pre-emphasis .97, 512-point FFT), then each
frame is brought to mean 0 and variance 1, which takes loudness away (Shi et al., ICLR 2022).
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float32]
RATE, WINDOW, STEP, FFT, BANKS, STACKED = 16_000, 400, 160, 512, 26, 4
DIM = BANKS * STACKED
"""Numbers of one frame of 40 ms: 104."""


def _mel(hertz: float) -> float:
    return 2595 * float(np.log10(1 + hertz / 700))


@lru_cache
def mel_filters() -> npt.NDArray[np.float64]:
    """Triangles evenly spaced on the mel scale from 0 to 8 kHz: float64 [26, 257]."""
    points = np.linspace(_mel(0), _mel(RATE / 2), BANKS + 2)
    bins = np.floor((FFT + 1) * 700 * (10 ** (points / 2595) - 1) / RATE)
    at = np.arange(FFT // 2 + 1, dtype=np.float64)
    out = np.zeros((BANKS, FFT // 2 + 1))
    for k in range(BANKS):
        low, middle, high = bins[k : k + 3]
        rising, falling = (at >= low) & (at < middle), (at >= middle) & (at < high)
        out[k, rising] = (at[rising] - low) / (middle - low)
        out[k, falling] = (high - at[falling]) / (high - middle)
    return out


def log_filterbanks(sound: Floats) -> Floats:
    """float32 [N] at 16 kHz to float32 [T, 26], one row per 10 ms; a sound shorter than 25 ms is one row."""
    wave = sound.astype(np.float64) * 32768
    wave = np.append(wave[:1], wave[1:] - 0.97 * wave[:-1])
    rows = 1 + max(0, -(-(len(wave) - WINDOW) // STEP))
    wave = np.pad(wave, (0, max(0, (rows - 1) * STEP + WINDOW - len(wave))))
    frames = np.lib.stride_tricks.sliding_window_view(wave, WINDOW)[::STEP][:rows]
    power = np.abs(np.fft.rfft(frames, FFT)) ** 2 / FFT
    energy = power @ mel_filters().T
    return np.log(np.where(energy == 0, np.finfo(np.float64).eps, energy)).astype(np.float32)


def stacked_filterbanks(sound: Floats) -> Floats:
    """float32 [N] at 16 kHz to float32 [T, 104] at 25 frames a second, each frame normalised."""
    banks = log_filterbanks(sound)
    banks = np.pad(banks, ((0, -len(banks) % STACKED), (0, 0)))
    rows = banks.reshape(-1, DIM).astype(np.float64)
    centred = rows - rows.mean(1, keepdims=True)
    return (centred / np.sqrt((centred**2).mean(1, keepdims=True) + 1e-5)).astype(np.float32)
