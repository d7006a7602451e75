"""A clip as a model of sound and picture sees it: mouths at even times, and its sound as a spectrogram."""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt

from manifests.images import Image

BANDS = 26
"""Filterbanks of one window of 25 ms."""


def mouth_strip(mouths: Image, width: int, side: int) -> Image:
    """Crops at even times side by side: uint8 [side, width, 3].

    Args:
        mouths: uint8 [T, S, S], grey.
        width: of the strip; a multiple of `side`.
        side: of a crop in it.
    """
    chosen = mouths[np.linspace(0, len(mouths) - 1, width // side).round().astype(int)]
    tiles = [cv2.resize(one, (side, side), interpolation=cv2.INTER_CUBIC) for one in chosen]
    return np.repeat(np.concatenate(tiles, 1)[:, :, None], 3, 2)


def spectrogram(banks: npt.NDArray[np.float32], width: int, height: int) -> Image:
    """Filterbanks as a grey picture, low tones below, loud ones bright: uint8 [height, width, 3].

    Args:
        banks: float32 [T, 104], normalised frame by frame.
        width: of the picture.
        height: of the picture.
    """
    rows = banks.reshape(-1, BANDS).T[::-1]
    grey = np.clip(128 + 40 * rows, 0, 255).astype(np.uint8)
    return np.repeat(cv2.resize(grey, (width, height), interpolation=cv2.INTER_NEAREST)[:, :, None], 3, 2)
