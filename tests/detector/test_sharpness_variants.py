"""ASAM and GSAM against their formulas and another implementation; clipping; the order of reductions."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from detector.training.sharpness import SAM

A = torch.diag(torch.tensor([4.0, 1.0, 0.5, 2.0]))
W0, RHO, RATE = torch.tensor([[1.0, -2.0, 3.0, 0.5]]), 0.3, 0.1


class Quadratic(nn.Module):
    """f = w A w' / 2 + b . b, w of two dimensions and b of one."""

    def __init__(self) -> None:
        super().__init__()
        self.w, self.b = nn.Parameter(W0.clone()), nn.Parameter(torch.tensor([0.7, -0.1]))

    def closure(self) -> Tensor:
        loss = 0.5 * (self.w @ A @ self.w.T).sum() + self.b.square().sum()
        loss.backward()
        return loss


def stepped(**options) -> Quadratic:
    net = Quadratic()
    SAM(net, torch.optim.SGD(net.parameters(), lr=RATE), RHO, **options).step(net.closure)
    return net


def slopes(w: Tensor, b: Tensor) -> Tensor:
    return torch.cat([(w @ A).flatten(), 2 * b])


B0 = torch.tensor([0.7, -0.1])
AT = torch.cat([W0.flatten(), B0])


def at(v: Tensor) -> Tensor:
    return slopes(v[None, :4], v[4:])


def test_asam_is_its_formula() -> None:
    eta, g = 0.05, at(AT)
    t = torch.cat([W0.flatten().abs() + eta, torch.ones(2)])
    expected = AT - RATE * at(AT + RHO * t * t * g / (t * g).norm())
    net = stepped(variant="asam", eta=eta)
    torch.testing.assert_close(torch.cat([net.w.flatten(), net.b]).detach(), expected)


def test_asam_of_rescaled_weights_is_the_same_function() -> None:
    """ASAM's point (Kwon et al., section 3): w = (s a, b / s) makes the same function, and is treated alike;
    SAM's is not.
    """

    def rise(variant: str, scale: float) -> float:
        net = nn.Sequential(nn.Linear(3, 4, bias=False), nn.Linear(4, 1, bias=False))
        with torch.no_grad():
            for k, layer in enumerate(net):
                layer.weight.copy_(
                    torch.randn(layer.weight.shape, generator=torch.Generator().manual_seed(k))
                )
                layer.weight.mul_(scale if k == 0 else 1 / scale)
        x, losses = torch.randn(8, 3, generator=torch.Generator().manual_seed(9)), []

        def closure() -> Tensor:
            loss = net(x).square().mean()
            losses.append(float(loss.detach()))
            loss.backward()
            return loss

        SAM(net, torch.optim.SGD(net.parameters(), lr=0.1), 0.1, variant=variant, eta=0.0).step(closure)
        return losses[1] - losses[0]

    assert rise("asam", 5.0) == pytest.approx(rise("asam", 1.0), rel=1e-3)
    assert rise("sam", 5.0) != pytest.approx(rise("sam", 1.0), rel=0.2)


@pytest.mark.parametrize("alpha", [0.0, 0.4])
def test_gsam_is_its_formula(alpha: float) -> None:
    g = at(AT)
    gp = at(AT + RHO * g / g.norm())
    unit = gp / gp.norm()
    orthogonal = g - (g @ unit) * unit
    net = stepped(variant="gsam", alpha=alpha)
    torch.testing.assert_close(
        torch.cat([net.w.flatten(), net.b]).detach(), AT - RATE * (gp - alpha * orthogonal)
    )
    assert abs(float(orthogonal @ gp)) < 1e-4
    assert float(orthogonal.norm()) > 0.1


def test_gsam_with_parameters_of_one_pass_only() -> None:
    """What has a gradient in one pass alone counts with 0 in the other."""
    net = nn.Module()
    net.a, net.b, net.c = (nn.Parameter(torch.tensor([v])) for v in (1.0, 0.5, -0.3))
    calls = []

    def closure() -> Tensor:
        calls.append(1)
        loss = 2 * net.a.square().sum() + (3 * net.b.sum() if len(calls) == 1 else 5 * net.c.sum())
        loss.backward()
        return loss

    SAM(net, torch.optim.SGD(net.parameters(), lr=RATE), RHO, variant="gsam", alpha=0.3).step(closure)
    g = torch.tensor([4.0, 3.0, 0.0])
    gp = torch.tensor([4 * (1 + RHO * 4 / 5), 0.0, 5.0])
    expected = gp - 0.3 * (g - (g @ gp) / (gp @ gp) * gp)
    torch.testing.assert_close(
        torch.cat([net.a, net.b, net.c]).detach(), torch.tensor([1.0, 0.5, -0.3]) - RATE * expected
    )


@pytest.mark.parametrize(("variant", "adaptive"), [("sam", False), ("asam", True)])
def test_agrees_with_pytorch_optimizer(variant: str, adaptive: bool) -> None:
    other = pytest.importorskip("pytorch_optimizer")
    ours, theirs = (
        nn.Sequential(nn.Linear(5, 7, bias=False), nn.Tanh(), nn.Linear(7, 1, bias=False)) for _ in range(2)
    )
    theirs.load_state_dict(ours.state_dict())
    x = torch.randn(9, 5, generator=torch.Generator().manual_seed(2))

    def closure_of(net: nn.Module):
        def closure() -> Tensor:
            loss = (net(x) - 1).square().mean()
            loss.backward()
            return loss

        return closure

    sam = SAM(ours, torch.optim.SGD(ours.parameters(), lr=0.1, momentum=0.9), 0.1, variant=variant, eta=0.0)
    reference = other.SAM(
        list(theirs.parameters()),
        torch.optim.SGD,
        rho=0.1,
        adaptive=adaptive,
        use_gc=False,
        lr=0.1,
        momentum=0.9,
    )
    for _ in range(4):
        sam.step(closure_of(ours))
        reference.zero_grad()
        closure_of(theirs)()
        reference.step(closure_of(theirs))
    for a, b in zip(ours.parameters(), theirs.parameters(), strict=True):
        torch.testing.assert_close(a, b, atol=1e-6, rtol=1e-5)


def test_clipping_is_of_the_second_gradient() -> None:
    g = at(AT)
    gp = at(AT + RHO * g / g.norm())
    net = stepped(clip=0.5)
    torch.testing.assert_close(
        torch.cat([net.w.flatten(), net.b]).detach(), AT - RATE * 0.5 * gp / gp.norm(), atol=1e-5, rtol=1e-4
    )
    torch.testing.assert_close(stepped(clip=1e6).w, stepped().w)


@pytest.mark.parametrize(("local", "rho", "calls"), [(False, 0.1, 2), (True, 0.1, 1), (False, 0.0, 1)])
def test_gradients_are_summed_after_each_pass_or_after_the_second_alone(
    local: bool, rho: float, calls: int
) -> None:
    net, seen = Quadratic(), []
    SAM(net, torch.optim.SGD(net.parameters(), lr=RATE), rho, reduce=seen.append, local_ascent=local).step(
        net.closure
    )
    assert len(seen) == calls


def test_rho_zero_of_each_variant_is_the_plain_step() -> None:
    for variant in ("sam", "asam", "gsam"):
        net = Quadratic()
        SAM(net, torch.optim.SGD(net.parameters(), lr=RATE), 0.0, variant=variant).step(net.closure)
        assert torch.equal(net.w.detach(), W0 - RATE * (W0 @ A))
