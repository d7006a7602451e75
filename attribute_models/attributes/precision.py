"""How often a model's word is right at a given confidence: a small Bayesian logistic model, fitted on
labelled faces.

Counting right answers above a threshold is noisy where a cell has fifty faces, and the threshold that looks
best by such counts is too low: it is chosen for its luck. Here all cells share the effect of confidence and
margin, and each has its own offset, shrunk towards the others: logit P(right) = a + b logit(confidence) + c
margin + d_cell, d_cell ~ N(0, 1), with the Laplace approximation of the posterior (MacKay, "The evidence
framework applied to classification networks", Neural Computation 1992; the map of confidence is that of
Platt, "Probabilistic outputs for support vector machines", 1999).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from manifests.seeding import rng_of

Floats = npt.NDArray[np.float64]
_WIDE, _CELL = 1e-2, 1.0
"""Precisions (1 / variance) of the priors: of what the cells share, and of a cell's own offset."""
_STEPS = 50
_EDGE = 1e-4


@dataclass(frozen=True)
class Correctness:
    """Posterior draws of the coefficients: float64 [D, 3 + cells]; `centre` is what confidence and margin are
    counted from.
    """

    draws: Floats
    centre: tuple[float, float]
    cells: int

    def probabilities(self, confidence: Floats, margin: Floats, cell: npt.NDArray[np.int64]) -> Floats:
        """P(right) of faces under every draw: float64 [N, D]. confidence, margin: float64 [N]; cell: int64
        [N].
        """
        return _expit(_design(confidence, margin, cell, self.cells, self.centre) @ self.draws.T)


def _expit(x: Floats) -> Floats:
    return 1 / (1 + np.exp(-np.clip(x, -500, 500)))


def _logit(p: Floats) -> Floats:
    inside = np.clip(p, _EDGE, 1 - _EDGE)
    return np.log(inside) - np.log1p(-inside)


def _design(
    confidence: Floats,
    margin: Floats,
    cell: npt.NDArray[np.int64],
    cells: int,
    centre: tuple[float, float],
) -> Floats:
    shared = np.column_stack([np.ones(len(confidence)), _logit(confidence) - centre[0], margin - centre[1]])
    return np.hstack([shared, np.eye(cells)[cell]])


def fit_correctness(
    confidence: Floats,
    margin: Floats,
    cell: npt.NDArray[np.int64],
    right: npt.NDArray[np.bool_],
    cells: int,
    seed: int = 0,
    draws: int = 400,
) -> Correctness:
    """The posterior, by Newton's method.

    Args:
        confidence: float64 [N] in [0, 1].
        margin: float64 [N].
        cell: int64 [N], the predicted cell.
        right: bool [N].
        cells: how many there are.
        seed: of the draws.
    """
    centre = (float(_logit(confidence).mean()), float(margin.mean()))
    x = _design(confidence, margin, cell, cells, centre)
    prior = np.r_[np.full(3, _WIDE), np.full(cells, _CELL)]
    y, b = right.astype(np.float64), np.zeros(x.shape[1])
    for _ in range(_STEPS):
        p = _expit(x @ b)
        step = np.linalg.solve((x.T * (p * (1 - p))) @ x + np.diag(prior), x.T @ (p - y) + prior * b)
        b = b - step / max(1.0, float(np.abs(step).max()))
        if np.abs(step).max() < 1e-9:
            break
    p = _expit(x @ b)
    covariance = np.linalg.inv((x.T * (p * (1 - p))) @ x + np.diag(prior))
    noise = rng_of(seed, "correctness").standard_normal((draws, len(b)))
    return Correctness(b + noise @ np.linalg.cholesky(covariance).T, centre, cells)
