"""A picture of a clip as a model sees it: mouths, filterbanks, and the score over time, one below the
other.
"""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt

from manifests.images import Image, encode

WIDTH, STRIP, BANKS, CURVE, GAP = 960, 64, 104, 160, 6
INK, PAPER, LINE = (40, 40, 40), 255, (200, 60, 40)


def _mouth_strip(mouths: Image) -> Image:
    """Crops at even times side by side: uint8 [STRIP, WIDTH, 3]."""
    count = WIDTH // STRIP
    chosen = mouths[np.linspace(0, len(mouths) - 1, count).round().astype(int)]
    tiles = [cv2.resize(one, (STRIP, STRIP), interpolation=cv2.INTER_CUBIC) for one in chosen]
    return np.repeat(np.concatenate(tiles, 1)[:, :, None], 3, 2)


def _banks(banks: npt.NDArray[np.float32]) -> Image:
    """Filterbanks as a grey picture, low tones below: uint8 [BANKS, WIDTH, 3]."""
    rows = banks.reshape(-1, 26).T[::-1]
    grey = np.clip(128 + 40 * rows, 0, 255).astype(np.uint8)
    return np.repeat(cv2.resize(grey, (WIDTH, BANKS), interpolation=cv2.INTER_NEAREST)[:, :, None], 3, 2)


def _curve(scores: npt.NDArray[np.float32]) -> Image:
    """The score of each frame, its least and most written beside it: uint8 [CURVE, WIDTH, 3]."""
    out = np.full((CURVE, WIDTH, 3), PAPER, np.uint8)
    low, high = float(scores.min()), float(scores.max())
    level = (scores - low) / max(high - low, 1e-6)
    x = np.linspace(0, WIDTH - 1, len(scores)) if len(scores) > 1 else np.array([0.0])
    points = np.stack([x, 8 + (1 - level) * (CURVE - 16)], 1).round().astype(np.int32)
    cv2.polylines(out, [points[:, None]], False, LINE, 2, cv2.LINE_AA)
    for text, y in ((f"{high:.2f}", 14), (f"{low:.2f}", CURVE - 6)):
        cv2.putText(out, text, (4, y), cv2.FONT_HERSHEY_SIMPLEX, 0.4, INK, 1, cv2.LINE_AA)
    return out


def clip_plot(mouths: Image, banks: npt.NDArray[np.float32], scores: npt.NDArray[np.float32]) -> bytes:
    """The picture as PNG.

    Args:
        mouths: uint8 [T, S, S]. banks: float32 [T, 104]. scores: float32 [T], one per frame.
    """
    gap = np.full((GAP, WIDTH, 3), PAPER, np.uint8)
    return encode(np.concatenate([_mouth_strip(mouths), gap, _banks(banks), gap, _curve(scores)]), "png")
