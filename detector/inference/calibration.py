"""How well a detector's fake probabilities are calibrated. Real and fake weigh alike, however many there are
of each.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import torch

from manifests.errors import UsageError
from manifests.seeding import rng_of
from nn.calibration import calibration_error, fit_temperature

Floats = npt.NDArray[np.float64]
LEAST = 1e-7
"""Probabilities are kept so far from 0 and 1, where float32 has no logit."""


def logit(prob: npt.ArrayLike) -> Floats:
    """Logits of probabilities in [0, 1]: float64, finite."""
    kept = np.clip(np.asarray(prob, np.float64), LEAST, 1 - LEAST)
    return np.log(kept) - np.log1p(-kept)


def at_temperature(prob: npt.ArrayLike, temperature: float) -> Floats:
    """Probabilities with their logits divided by a temperature: float64 in [0, 1]."""
    return 1 / (1 + np.exp(-logit(prob) / temperature))


def class_weights(labels: npt.ArrayLike) -> Floats:
    """How much each row weighs so that real and fake weigh alike in all: float64 [N], mean 1.

    Raises:
        UsageError: a class has no row.
    """
    y = np.asarray(labels, np.int64)
    counts = np.bincount(y, minlength=2)
    if (counts == 0).any():
        raise UsageError(
            "calibration", "needs real and fake images", "name a manifest whose val split has both"
        )
    return np.asarray(len(y) / (2 * counts[y]), np.float64)


def temperature_of(labels: Sequence[int], prob: Sequence[float]) -> float:
    """The temperature that minimises the negative log-likelihood of the labels.

    Args:
        labels: 1 fake, 0 real.
        prob: fake probabilities at temperature 1.

    Raises:
        UsageError: a class has no row.
    """
    half = torch.from_numpy(logit(prob)) / 2
    weights = torch.from_numpy(class_weights(labels))
    return fit_temperature(torch.stack([-half, half], 1), torch.as_tensor(labels, dtype=torch.int64), weights)


def cross_fitted(labels: Sequence[int], prob: Sequence[float], seed: int = 0) -> Floats:
    """Probabilities of each half of the rows at the temperature that the other half chose: what calibration
    does to new images.

    Halves have as many of each class. Args as `temperature_of`; float64 [N].

    Raises:
        UsageError: a class has fewer than two rows.
    """
    y, p = np.asarray(labels, np.int64), np.asarray(prob, np.float64)
    half = np.zeros(len(y), bool)
    for label in (0, 1):
        places = np.flatnonzero(y == label)
        half[rng_of(seed, "calibration", label).permutation(places)[: len(places) // 2]] = True
    out = np.empty(len(y))
    for own in (half, ~half):
        out[own] = at_temperature(p[own], temperature_of(y[~own].tolist(), p[~own].tolist()))
    return out


def figures(labels: Sequence[int], prob: npt.ArrayLike) -> dict[str, float]:
    """`nll` (nats) and `ece` (expected calibration error in [0, 1], 15 bins), real and fake weighing alike.

    Raises:
        UsageError: a class has no row.
    """
    y, p, weights = np.asarray(labels, np.int64), np.asarray(prob, np.float64), class_weights(labels)
    right = np.clip(np.where(y == 1, p, 1 - p), LEAST, 1)
    return {
        "nll": float(np.average(-np.log(right), weights=weights)),
        "ece": calibration_error(np.stack([1 - p, p], 1), y, weights=weights),
    }
