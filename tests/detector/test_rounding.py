"""What rounding does to the means of activations, and that batch normalisation takes it back."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import nn

from detector.inference.rounding import corrected, mean_shifts


def network() -> nn.Sequential:
    torch.manual_seed(3)
    made = nn.Sequential(
        nn.Conv2d(3, 16, 3, bias=False),
        nn.BatchNorm2d(16),
        nn.ReLU(),
        nn.Conv2d(16, 8, 1, bias=False),
        nn.BatchNorm2d(8),
        nn.Conv2d(8, 4, 1),  # nothing behind it takes a constant away
    )
    for module in made:
        if isinstance(module, nn.BatchNorm2d):
            module.running_mean.normal_(0, 0.1)
            module.running_var.uniform_(0.5, 1.5)
    return made.eval()


def rounded(state: dict[str, torch.Tensor], *names: str) -> dict[str, torch.Tensor]:
    """Rounded far more coarsely than half precision does, so that it shows."""
    return {name: (8 * value).floor() / 8 if name in names else value for name, value in state.items()}


@pytest.mark.parametrize("names", [("3.weight",), ("0.weight", "3.weight")])
def test_the_mean_output_is_as_before_rounding(names: tuple[str, ...]) -> None:
    whole = network()
    small = rounded(whole.state_dict(), *names)
    images = torch.rand(32, 3, 12, 12, generator=torch.Generator().manual_seed(1))
    with torch.no_grad(), mean_shifts(whole, small) as shifts:
        for part in images.split(8):
            whole(part)
    assert set(shifts) == {{"0.weight": "1", "3.weight": "4"}[name] for name in names}
    assert {len(moved) for moved in shifts.values()} == {4}  # one for each batch
    errors = []
    for state in (small, corrected(small, shifts)):
        other = copy.deepcopy(whole)
        other.load_state_dict(state)
        with torch.no_grad():
            errors.append((other[:5](images) - whole[:5](images)).mean((0, 2, 3)).abs().max())
    assert errors[1] < (1e-5 if len(names) == 1 else 0.4 * errors[0])
    assert not any(module._forward_hooks or module._forward_pre_hooks for module in whole)


def test_what_is_not_rounded_is_not_corrected() -> None:
    whole = network()
    state = whole.state_dict()
    with mean_shifts(whole, state) as shifts:
        whole(torch.rand(2, 3, 8, 8))
    assert shifts == {}
    assert all(torch.equal(value, state[name]) for name, value in corrected(state, shifts).items())
    small = rounded(state, "5.weight")
    with mean_shifts(whole, small) as shifts:
        whole(torch.rand(2, 3, 8, 8))
    assert shifts == {}


def test_hooks_are_gone_after_an_error() -> None:
    whole = network()
    with pytest.raises(RuntimeError), mean_shifts(whole, whole.state_dict()):
        whole(torch.rand(2, 5, 8, 8))
    assert not any(module._forward_hooks or module._forward_pre_hooks for module in whole)
