"""Adversarial weight perturbation: the gradient is taken at weights pushed to where the loss is worse.

Wu, Xia & Wang, "Adversarial weight perturbation helps robust generalization" (NeurIPS 2020, arXiv
2004.05884), sec. 4; QAD (Le & Woo, ICCV 2023) uses it over image qualities. The proxy's one ascent step is
along the loss's gradient, so the push is d = ||w|| g / (||g|| + 1e-20) for every tensor of more than one
dimension, times gamma.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from detector.training.sharpness import frozen_statistics


def ascent(
    network: nn.Module, loss: Callable[[], Tensor], add_up: Callable[[list[Tensor]], None] | None = None
) -> list[tuple[nn.Parameter, Tensor]]:
    """`(parameter, d)` for tensors of more than one dimension that the loss reaches; `.grad` is not touched.

    add_up: sums gradients over processes, in place, where each process has its part of them; every process
    then pushes alike. BatchNorm statistics stand still in this pass, and the random state after it is that
    before it.
    """
    chosen = [p for p in network.parameters() if p.requires_grad and p.ndim > 1]
    devices = sorted({p.device for p in chosen if p.device.type == "cuda"}, key=str)
    with frozen_statistics(network), torch.random.fork_rng(devices=devices):
        slopes = torch.autograd.grad(loss(), chosen, allow_unused=True)
    found = [(p, g.detach()) for p, g in zip(chosen, slopes, strict=True) if g is not None]
    if add_up is not None:
        add_up([g for _, g in found])
    return [(p, (p.detach().norm() / (g.norm() + 1e-20)) * g) for p, g in found]


@contextmanager
def perturbed(
    network: nn.Module,
    loss: Callable[[], Tensor],
    gamma: float,
    add_up: Callable[[list[Tensor]], None] | None = None,
) -> Iterator[None]:
    """Inside, the weights are w + gamma d; after it they are w again, bit for bit, also when something is
    raised.

    loss: computes the loss of the batch, without backward. gamma 0 does nothing. A push that is not finite
    is left out. add_up: see `ascent`.
    """
    pushes = ascent(network, loss, add_up) if gamma > 0 else []
    pushes = [(p, d) for p, d in pushes if bool(torch.isfinite(d).all())]
    kept = [(p, p.detach().clone()) for p, _ in pushes]
    try:
        with torch.no_grad():
            for p, d in pushes:
                p.add_(d.to(p.dtype), alpha=gamma)
        yield
    finally:
        with torch.no_grad():
            for p, old in kept:
                p.copy_(old)
