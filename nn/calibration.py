"""Calibration of classifiers: the temperature of logits, and how far confidence is from accuracy.

Guo et al., "On calibration of modern neural networks", ICML 2017.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F
from torch import Tensor


def fit_temperature(logits: Tensor, labels: Tensor, weights: Tensor | None = None) -> float:
    """The temperature that minimises cross entropy, by LBFGS on its logarithm.

    Args:
        logits: float [N, C].
        labels: int64 [N].
        weights: float [N], how much each row weighs; None: all alike.
    """
    log_t = torch.zeros((), dtype=logits.dtype, requires_grad=True)
    optimizer = torch.optim.LBFGS([log_t], lr=0.1, max_iter=100)

    def closure() -> Tensor:
        optimizer.zero_grad()
        losses = F.cross_entropy(logits / log_t.exp(), labels, reduction="none")
        loss = losses.mean() if weights is None else (weights * losses).sum() / weights.sum()
        loss.backward()  # type: ignore[no-untyped-call]
        return loss

    optimizer.step(closure)  # type: ignore[no-untyped-call]
    return float(log_t.detach().exp())


def calibration_error(
    prob: npt.NDArray[np.floating],
    label: npt.NDArray[np.integer],
    bins: int = 15,
    weights: npt.NDArray[np.floating] | None = None,
) -> float:
    """Expected calibration error of the top class in [0, 1], equal-width bins (equation 3).

    Args:
        prob: float [N, C], rows sum to 1.
        label: int [N].
        bins: of the top class's probability.
        weights: float [N], how much each row weighs; None: all alike.
    """
    top, right = prob.max(1), prob.argmax(1) == label
    weigh = np.ones(len(top)) if weights is None else weights / weights.mean()
    edge = np.minimum((top * bins).astype(int), bins - 1)
    gaps = [abs(float((weigh * (top - right))[edge == b].sum())) for b in np.unique(edge)]
    return sum(gaps) / max(len(top), 1)
