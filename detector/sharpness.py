"""Sharpness-aware minimisation (Foret, Kleiner, Mobahi, Neyshabur, ICLR 2021, eq. 2-3), over any torch optimizer.

A step: gradient g at w; ascend to w + rho g / ||g||; gradient there; back to w exactly; the base optimizer steps
with the second gradient. In the second pass BatchNorm statistics stand still and random draws are those of the first.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _NormBase
from torch.optim import Optimizer


@contextmanager
def frozen_statistics(network: nn.Module) -> Iterator[None]:
    """Inside, normalisation layers in training mode use the batch's statistics but do not record them."""
    layers = [m for m in network.modules() if isinstance(m, _NormBase) and m.track_running_stats]
    momenta = [layer.momentum for layer in layers]
    for layer in layers:
        layer.track_running_stats, layer.momentum = False, 0.0
    try:
        yield
    finally:
        for layer, momentum in zip(layers, momenta, strict=True):
            layer.track_running_stats, layer.momentum = True, momentum


class SAM:
    """A two-pass optimizer. `rho`: radius of the ascent in weight space; 0 is the base optimizer, bit for bit."""

    def __init__(self, network: nn.Module, base: Optimizer, rho: float) -> None:
        self.network, self.base, self.rho = network, base, rho

    @property
    def param_groups(self) -> list[dict[str, Any]]:
        return self.base.param_groups

    def _parameters(self) -> list[nn.Parameter]:
        return [p for group in self.base.param_groups for p in group["params"]]

    @torch.no_grad()
    def _ascend(self) -> list[tuple[nn.Parameter, Tensor]]:
        """Move what has a gradient to w + rho g / ||g||; returns the moved parameters with their old values."""
        moved = [p for p in self._parameters() if p.grad is not None]
        if not moved:
            return []
        norm = torch.linalg.vector_norm(torch.stack([torch.linalg.vector_norm(p.grad.float()) for p in moved]))
        if not bool(torch.isfinite(norm)) or float(norm) == 0.0:
            return []
        kept = [(p, p.detach().clone()) for p in moved]
        for p in moved:
            p.add_((p.grad * (self.rho / norm)).to(p.dtype))
        return kept

    def step(self, closure: Callable[[], Tensor]) -> Tensor:
        """One step. `closure` computes the loss of the batch and calls backward; it need not clear gradients.

        Returns:
            The loss of the first pass, at w. If it is not finite, nothing is changed but the gradients.
        """
        self.base.zero_grad(set_to_none=True)
        before = torch.get_rng_state()
        loss = closure()
        if not bool(torch.isfinite(loss.detach())):
            return loss.detach()
        if self.rho > 0:
            self._second_pass(closure, before)
        self.base.step()
        return loss.detach()

    def _second_pass(self, closure: Callable[[], Tensor], before: Tensor) -> None:
        kept = self._ascend()
        after = torch.get_rng_state()
        try:
            self.base.zero_grad(set_to_none=True)
            torch.set_rng_state(before)
            with frozen_statistics(self.network):
                closure()
        finally:
            torch.set_rng_state(after)
            with torch.no_grad():
                for p, old in kept:
                    p.copy_(old)

    def state_dict(self) -> dict[str, Any]:
        """The whole state: `rho`, and the base optimizer's with its momentum."""
        return {"rho": self.rho, "base": self.base.state_dict()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from `state_dict()`."""
        self.rho = float(state["rho"])
        self.base.load_state_dict(state["base"])
