"""SAM against the plain optimizer, against the formula, and its bookkeeping."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import Tensor, nn

from detector.training.sharpness import SAM


def small_net() -> nn.Sequential:
    torch.manual_seed(3)
    body = nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Dropout(0.5)
    return nn.Sequential(*body, nn.Flatten(), nn.Linear(64, 1))


def closure_of(net: nn.Module, x: Tensor):
    def closure() -> Tensor:
        loss = net(x).square().mean()
        loss.backward()
        return loss

    return closure


def equal(a: nn.Module, b: nn.Module) -> bool:
    return all(
        torch.equal(x, y) for x, y in zip(a.state_dict().values(), b.state_dict().values(), strict=True)
    )


@pytest.mark.parametrize("kind", ["sgd", "adamw"])
def test_rho_zero_is_the_plain_optimizer_bit_for_bit(kind: str) -> None:
    net = small_net()
    other = copy.deepcopy(net)
    make = {
        "sgd": lambda p: torch.optim.SGD(p, lr=0.1, momentum=0.9),
        "adamw": lambda p: torch.optim.AdamW(p, lr=0.01),
    }[kind]
    sam, plain = SAM(net, make(net.parameters()), 0.0), make(other.parameters())
    for step in range(3):
        x = torch.randn(5, 3, 6, 6, generator=torch.Generator().manual_seed(step))
        torch.manual_seed(step)
        sam.step(closure_of(net, x))
        torch.manual_seed(step)
        plain.zero_grad()
        closure_of(other, x)()
        plain.step()
    assert equal(net, other)


def test_quadratic_step_is_the_formula() -> None:
    """f = w'Aw/2: g = Aw, the second gradient is A(w + rho g/||g||), and SGD goes there from w."""
    a, w0, rho, rate = torch.diag(torch.tensor([4.0, 1.0, 0.5])), torch.tensor([1.0, -2.0, 3.0]), 0.3, 0.1
    net = nn.Module()
    net.w = nn.Parameter(w0.clone())

    def closure() -> Tensor:
        loss = 0.5 * net.w @ a @ net.w
        loss.backward()
        return loss

    loss = SAM(net, torch.optim.SGD(net.parameters(), lr=rate), rho).step(closure)
    g = a @ w0
    torch.testing.assert_close(net.w.detach(), w0 - rate * a @ (w0 + rho * g / g.norm()))
    torch.testing.assert_close(loss, 0.5 * w0 @ a @ w0)


def test_parameter_used_in_one_pass_only_is_restored_exactly() -> None:
    net = nn.Module()
    net.a, net.b, net.unused = (nn.Parameter(torch.full((2,), v)) for v in (1.0, 0.1, 7.0))
    calls = []

    def closure() -> Tensor:
        calls.append(net.b.detach().clone())
        loss = net.a.square().sum() + (net.b.sum() * 3.0 if len(calls) == 1 else 0.0)
        loss.backward()
        return loss

    SAM(net, torch.optim.SGD(net.parameters(), lr=0.1), 0.5).step(closure)
    assert not torch.equal(calls[0], calls[1]), "the first pass must have moved it"
    assert torch.equal(net.b.detach(), calls[0])
    assert torch.equal(net.unused.detach(), torch.full((2,), 7.0))


def test_running_statistics_move_once_and_dropout_repeats() -> None:
    net, x = small_net(), torch.randn(5, 3, 6, 6, generator=torch.Generator().manual_seed(1))
    reference = copy.deepcopy(net)
    masks = []
    net[3].register_forward_hook(lambda module, inputs, output: masks.append(output.detach() == 0))
    torch.manual_seed(9)
    SAM(net, torch.optim.SGD(net.parameters(), lr=0.1), 0.5).step(closure_of(net, x))
    after_step = torch.rand(1)
    torch.manual_seed(9)
    reference(x)
    assert torch.equal(after_step, torch.rand(1)), "the generator goes on as after one pass"
    assert torch.equal(net[1].running_mean, reference[1].running_mean)
    assert torch.equal(net[1].running_var, reference[1].running_var)
    assert int(net[1].num_batches_tracked) == 1
    assert net[1].momentum == 0.1
    assert net[1].track_running_stats
    dropped = [m.float().mean() for m in masks]
    assert len(dropped) == 2
    assert (masks[0] == masks[1]).float().mean() > 0.9


def test_resume_keeps_momentum() -> None:
    net = small_net()
    sam = SAM(net, torch.optim.SGD(net.parameters(), lr=0.1, momentum=0.9), 0.05)
    batches = [torch.randn(5, 3, 6, 6, generator=torch.Generator().manual_seed(s)) for s in range(4)]
    for x in batches[:2]:
        torch.manual_seed(0)
        sam.step(closure_of(net, x))
    again = copy.deepcopy(net)
    resumed = SAM(again, torch.optim.SGD(again.parameters(), lr=0.1, momentum=0.9), 9.0)
    resumed.load_state_dict(copy.deepcopy(sam.state_dict()))
    for x in batches[2:]:
        for one, model in ((sam, net), (resumed, again)):
            torch.manual_seed(0)
            one.step(closure_of(model, x))
    assert equal(net, again)


def test_a_loss_that_is_not_finite_changes_nothing() -> None:
    net = small_net().eval()
    before = copy.deepcopy(net)
    sam = SAM(net, torch.optim.SGD(net.parameters(), lr=0.1), 0.1)
    loss = sam.step(closure_of(net, torch.full((5, 3, 6, 6), torch.inf)))
    assert not torch.isfinite(loss)
    assert equal(net, before)
