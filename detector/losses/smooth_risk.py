"""Conditional value at risk with a smooth hinge: every group keeps some gradient."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor


def _threshold(losses: Tensor, alpha: float, temperature: float) -> Tensor:
    """The minimising lambda by bisection: mean sigmoid((l - lambda) / t) = alpha. Float64 scalar, without
    gradient.
    """
    values = losses.detach().double()
    logit = torch.logit(torch.tensor(alpha, dtype=torch.float64, device=values.device))
    low, high = (
        values.min() - temperature * logit.abs() - temperature,
        values.max() + temperature * (logit.abs() + 1),
    )
    for _ in range(80):
        middle = (low + high) / 2
        above = torch.sigmoid((values - middle) / temperature).mean() > alpha
        low, high = torch.where(above, middle, low), torch.where(above, high, middle)
    return (low + high) / 2


def smooth_cvar(losses: Tensor, alpha: float, temperature: float) -> Tensor:
    """Min over lambda of lambda + 1/(alpha N) sum t softplus((l - lambda) / t): CVaR with [x]_+ made smooth.

    It lies above CVaR by at most t log 2 / alpha and tends to it as t goes to 0. At the minimum lambda has no
    influence, so its gradient is left out. alpha 1 is the mean. losses: [N], at least one. alpha: in (0, 1].
    temperature: t > 0.
    """
    if alpha == 1.0:
        return losses.mean()
    at = _threshold(losses, alpha, temperature).to(losses.dtype)
    return at + temperature * F.softplus((losses - at) / temperature).mean() / alpha
