"""A picture of a clip as a model sees it: mouths, filterbanks, and the score over time, one below the
other.
"""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt

from manifests.images import Image, encode
from pipeline.report.clip_pictures import mouth_strip, spectrogram

WIDTH, STRIP, BANKS, CURVE, GAP = 960, 64, 104, 160, 6
INK, PAPER, LINE = (40, 40, 40), 255, (200, 60, 40)


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
    return encode(
        np.concatenate(
            [mouth_strip(mouths, WIDTH, STRIP), gap, spectrogram(banks, WIDTH, BANKS), gap, _curve(scores)]
        ),
        "png",
    )
