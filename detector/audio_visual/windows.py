"""The candidates of a frame: sound within 15 frames before and after, masked where the clip has none.

Published code pads a clip with zero vectors there, and a zero vector can win the softmax; here it takes no
part.
"""

from __future__ import annotations

import torch
from torch import Tensor

RADIUS = 15
"""Frames to either side: 31 candidates, 0.6 s."""


def candidates(length: int, radius: int = RADIUS) -> tuple[Tensor, Tensor]:
    """Frames around each frame of a clip.

    Args:
        length: frames of the clip.
        radius: to either side.

    Returns:
        int64 [length, 2 radius + 1], the frame i + s - radius in column s, held inside the clip; bool of that
        shape, whether it is in the clip.
    """
    at = torch.arange(length)[:, None] + torch.arange(-radius, radius + 1)[None]
    return at.clamp(0, max(length - 1, 0)), (at >= 0) & (at < length)


def window_loss(scores: Tensor, inside: Tensor) -> Tensor:
    """Cross entropy of each frame's own place among its candidates: float [T].

    Args:
        scores: float [T, 2 radius + 1], higher for what belongs together.
        inside: bool of that shape.
    """
    masked = scores.masked_fill(~inside, float("-inf"))
    return masked.logsumexp(1) - scores[:, scores.shape[1] // 2]


def own_place(scores: Tensor, inside: Tensor) -> Tensor:
    """Whether each frame's own place has the highest score: bool [T]. Arguments as `window_loss`."""
    return scores.masked_fill(~inside, float("-inf")).argmax(1) == scores.shape[1] // 2
