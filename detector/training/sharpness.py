"""Sharpness-aware minimisation over any torch optimizer: SAM, ASAM, GSAM.

SAM (Foret, Kleiner, Mobahi, Neyshabur, ICLR 2021, eq. 2-3): gradient g at w; ascend to w + rho g / ||g||;
gradient there; back to w exactly; the base optimizer steps with the second gradient. ASAM (Kwon, Kim, Park,
Choi, ICML 2021, eq. 7) ascends by rho T^2 g / ||T g||, T = |w| + eta for weights and 1 for tensors of one
dimension. GSAM (Zhuang et al., ICLR 2022, algorithm 1) takes from the second gradient alpha times the part of
g that is orthogonal to it. In the second pass BatchNorm statistics stand still and random draws are those of
the first.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _NormBase
from torch.optim import Optimizer

from nn.tensor_files import restore_optimizer

Variant = Literal["sam", "asam", "gsam"]
Reduce = Callable[[list[nn.Parameter]], None]


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


def random_state(device: torch.device) -> tuple[Tensor, Tensor | None]:
    """State of torch's generators: of the CPU, and of `device` where it is a CUDA device."""
    return torch.get_rng_state(), torch.cuda.get_rng_state(device) if device.type == "cuda" else None


def set_random_state(device: torch.device, state: tuple[Tensor, Tensor | None]) -> None:
    """Bring back a state of `random_state`."""
    torch.set_rng_state(state[0])
    if state[1] is not None:
        torch.cuda.set_rng_state(state[1], device)


def _norm(tensors: list[Tensor]) -> Tensor:
    return torch.linalg.vector_norm(torch.stack([torch.linalg.vector_norm(t.float()) for t in tensors]))


class SAM:
    """A two-pass optimizer. `rho`: radius of the ascent in weight space; 0 is the base optimizer, bit for
    bit.

    variant, eta, alpha: see the module. clip: largest norm of the gradient that the base optimizer gets; 0
    for none. reduce: adds up the gradients of several processes; called after each pass, or after the second
    alone where `local_ascent`: then each process ascends by its own rows, as in SAM's paper (section 4.1,
    m-sharpness), one message less.
    """

    def __init__(
        self,
        network: nn.Module,
        base: Optimizer,
        rho: float,
        *,
        variant: Variant = "sam",
        eta: float = 0.01,
        alpha: float = 0.2,
        clip: float = 0.0,
        reduce: Reduce | None = None,
        local_ascent: bool = False,
    ) -> None:
        self.network, self.base, self.rho = network, base, rho
        self.variant, self.eta, self.alpha, self.clip = variant, eta, alpha, clip
        self.reduce, self.local_ascent = reduce, local_ascent

    @property
    def param_groups(self) -> list[dict[str, Any]]:
        return self.base.param_groups

    def _parameters(self) -> list[nn.Parameter]:
        return [p for group in self.base.param_groups for p in group["params"]]

    def _scale(self, p: nn.Parameter) -> Tensor | None:
        """T of ASAM; None where it is 1."""
        return p.detach().abs() + self.eta if self.variant == "asam" and p.ndim > 1 else None

    @torch.no_grad()
    def _ascend(self) -> list[tuple[nn.Parameter, Tensor]]:
        """Move what has a gradient to the ascended point; returns the moved parameters with their old
        values.
        """
        moved = [p for p in self._parameters() if p.grad is not None]
        if not moved:
            return []
        scales = [self._scale(p) for p in moved]
        grads = [p.grad for p in moved if p.grad is not None]
        norm = _norm([g if t is None else g * t for g, t in zip(grads, scales, strict=True)])
        if not bool(torch.isfinite(norm)) or float(norm) == 0.0:
            return []
        kept = [(p, p.detach().clone()) for p in moved]
        for p, g, t in zip(moved, grads, scales, strict=True):
            slope = g if t is None else g * t * t
            p.add_((slope * (self.rho / norm)).to(p.dtype))
        return kept

    def step(self, closure: Callable[[], Tensor]) -> Tensor:
        """One step. `closure` computes the loss of the batch and calls backward; it need not clear gradients.

        Returns:
            The loss of the first pass, at w. If it is not finite, nothing is changed but the gradients.
        """
        self.base.zero_grad(set_to_none=True)
        device = next(iter(self._parameters())).device
        before = random_state(device)
        loss = closure()
        if not bool(torch.isfinite(loss.detach())):
            return loss.detach()
        if self.rho > 0:
            if not self.local_ascent:
                self._reduce()
            self._second_pass(closure, device, before)
        else:
            self._reduce()
        if self.clip > 0:
            torch.nn.utils.clip_grad_norm_(self._parameters(), self.clip)
        self.base.step()
        return loss.detach()

    def _reduce(self) -> None:
        if self.reduce is not None:
            self.reduce(self._parameters())

    def _second_pass(
        self, closure: Callable[[], Tensor], device: torch.device, before: tuple[Tensor, Tensor | None]
    ) -> None:
        first = (
            {p: p.grad.clone() for p in self._parameters() if p.grad is not None}
            if self.variant == "gsam"
            else {}
        )
        kept = self._ascend()
        after = random_state(device)
        try:
            self.base.zero_grad(set_to_none=True)
            set_random_state(device, before)
            with frozen_statistics(self.network):
                closure()
        finally:
            set_random_state(device, after)
            with torch.no_grad():
                for p, old in kept:
                    p.copy_(old)
        self._reduce()
        if first:
            self._remove_orthogonal(first)

    @torch.no_grad()
    def _remove_orthogonal(self, first: dict[nn.Parameter, Tensor]) -> None:
        """GSAM: g_p - alpha (g - (g . g_p) g_p / ||g_p||^2), over all parameters as one vector."""
        second = {p: p.grad for p in self._parameters() if p.grad is not None}
        square = float(_norm(list(second.values()))) ** 2 if second else 0.0
        if square == 0.0 or not square < float("inf"):
            return
        along = (
            sum(float((g.float() * second[p].float()).sum()) for p, g in first.items() if p in second)
            / square
        )
        for p in self._parameters():
            g, gp = first.get(p), second.get(p)
            if g is not None and gp is not None:
                gp.copy_(gp - self.alpha * (g - along * gp))
            elif g is not None:
                p.grad = -self.alpha * g
            elif gp is not None:
                gp.mul_(1 + self.alpha * along)

    def state_dict(self) -> dict[str, Any]:
        """The whole state: `rho`, and the base optimizer's with its momentum."""
        return {"rho": self.rho, "base": self.base.state_dict()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from `state_dict()`."""
        self.rho = float(state["rho"])
        restore_optimizer(self.base, state["base"])
