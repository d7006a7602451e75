"""Is the sound more in step with the mouth than chance has it? A test that every clip calibrates by
itself, and so needs no threshold from clips of another kind.

The sound of a clip is moved round in time, by every number of frames. Speech and mouth keep their rhythm at
every such lag, but for one they no longer belong together: the mean cosines at lags far from 0 are what
chance gives for just this voice, this mouth, and these features. In step is what exceeds them at lag 0, and
fits no other lag nearby better.
"""

from __future__ import annotations

import math

import torch
from scipy.special import stdtr
from torch import Tensor

from detector.audio_visual.windows import RADIUS

ALPHA = 0.05
"""Below this a clip counts as in step: so many do whose sound has nothing to do with the picture."""
NEAR = 2
"""Frames of 40 ms by which sound and mouth may miss each other and count as in step."""
KERNEL = (1, 2, 3, 2, 1)
"""Weights of lags about each one, `NEAR` to either side."""
APART = len(KERNEL)
"""Lags from one to the next that shares no cosine with it: one in so many is taken to be independent."""
EDGE = 4
"""Frames at both ends that take no part: an encoder that looks at nine frames knows there where a clip ends,
in picture and sound alike, which would pass for being in step. At the end one more, since the last frame of
sound is padded."""
LEAST = 2 * EDGE + 1 + 5 * APART
"""Frames of a clip of which anything can be said: 1.36 s."""
STILL = 1e-5
"""Spread of mean cosines below which nothing moves, or nothing is heard."""


def lag_means(picture: Tensor, sound: Tensor) -> Tensor:
    """Mean cosine of the picture with the sound at every lag, the sound going round: float64 [T].

    Args:
        picture: unit vectors, float [T, D].
        sound: unit vectors, float [T, D].

    Returns:
        At l the mean over i of picture[i] . sound[(i + l) mod T].
    """
    length = len(picture)
    seen, heard = (torch.fft.rfft(one.double(), dim=0) for one in (picture, sound))
    return torch.fft.irfft((seen.conj() * heard).sum(1), n=length) / length


def smoothed(means: Tensor) -> Tensor:
    """Weighted means of each lag and those about it, going round: float [T]. means: float [T]."""
    parts = [weight * torch.roll(means, k - NEAR) for k, weight in enumerate(KERNEL)]
    return torch.stack(parts).sum(0) / sum(KERNEL)


def best_lag(fit: Tensor) -> int:
    """The lag within `RADIUS` frames of 0 that fits best, of equal ones the one nearest to 0. fit: of each
    lag, float [T].
    """
    lags = sorted(range(-RADIUS, RADIUS + 1), key=abs)
    return max(lags, key=lambda lag: float(fit[lag % len(fit)]))


def chance_score(picture: Tensor, sound: Tensor) -> float:
    """How often chance would fit lag 0 as well as this clip does: in (0, 1], below `ALPHA` in step.

    One-sided test of the fit at lag 0 as one more draw from the lags that share no cosine with it (mean and
    standard deviation of those; Student's t, one degree of freedom for each `APART` lags, less one). Where a
    lag further than `NEAR` frames, but within `RADIUS`, fits best, the sound is displaced, and p is raised to
    (1 + p) / 2.

    Args:
        picture: unit vectors, float [T, D].
        sound: unit vectors, float [T, D].

    Returns:
        p; 1 for clips shorter than `LEAST`, or in which nothing moves or is heard.
    """
    if len(picture) < LEAST:
        return 1.0
    fit = smoothed(lag_means(picture[EDGE : -EDGE - 1], sound[EDGE : -EDGE - 1]))
    far = fit[APART : len(fit) - APART + 1]
    spread = float(far.std())
    if spread < STILL:
        return 1.0
    draws = len(far) / APART
    t = float(fit[0] - far.mean()) / (spread * math.sqrt(1 + 1 / draws))
    p = float(stdtr(draws - 1, -t))
    return p if abs(best_lag(fit)) <= NEAR else (1 + p) / 2
