"""What a talking head does beside its mouth: small smooth turns and nods, blinks, brows; drawn, float32 per
frame.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from generators.talking.visemes import FPS

HEAD = ("yaw", "pitch", "roll", "right", "down", "brow", "blink")
"""yaw, pitch: of the nose, as `shape_model` measures them. roll: radians. right, down: eye distances. brow:
raised, eye distances.
blink: 1 where the eyes are shut."""
SIZES = (0.03, 0.007, 0.022, 0.022, 0.014, 0.018)
"""Standard deviations of all but blinks."""
SLOW, FAST = 0.15, 0.9
"""Hz, between which heads move."""
WAVES = 6
BLINK = (0.25, 0.75, 1.0, 0.8, 0.45, 0.15)
"""A blink, frame by frame."""
BETWEEN = (1.2, 4.0)
"""Seconds from one blink to the next."""
Head = npt.NDArray[np.float32]


def head_of(frames: int, rng: np.random.Generator, lively: float = 1.0) -> Head:
    """Motion of a head: float32 [frames, 7], columns as `HEAD`; about 0, where it is as in its picture.

    Args:
        frames: how many.
        rng: of the clip.
        lively: times the usual motion.
    """
    times = np.arange(frames) / FPS
    columns = []
    for size in SIZES:
        pace = rng.uniform(SLOW, FAST, WAVES)
        phase, height = rng.uniform(0, 2 * np.pi, WAVES), rng.normal(0, 1, WAVES) / (0.5 + pace)
        wave = (height[:, None] * np.sin(2 * np.pi * pace[:, None] * times + phase[:, None])).sum(0)
        columns.append(lively * size * wave / max(float(np.sqrt((height**2).sum() / 2)), 1e-6))
    blink = np.zeros(frames)
    at = float(rng.uniform(0.2, BETWEEN[1]))
    while at * FPS < frames:
        start = int(at * FPS)
        part = np.array(BLINK[: max(0, frames - start)])
        blink[start : start + len(part)] = np.maximum(blink[start : start + len(part)], part)
        at += float(rng.uniform(*BETWEEN))
    return np.column_stack([*columns, blink]).astype(np.float32)
