"""Every registered loss: finite, differentiable, defined in odd batches, blind to order, the same in
float32.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch

from tests.detector.loss_cases import VARIANTS, Case, case, cast

CASES: dict[str, Case] = {}


@pytest.fixture(params=VARIANTS, ids=str)
def one(request: pytest.FixtureRequest) -> Case:
    name, params = request.param
    return CASES.setdefault(str(request.param), case(name, params))


def odd_batches(whole: Case) -> dict[str, Any]:
    """Targets with something missing."""
    truth = whole.targets
    return {
        "one group": replace(truth, groups={k: torch.zeros_like(v) for k, v in truth.groups.items()}),
        "unknown groups": replace(truth, groups={k: torch.full_like(v, -1) for k, v in truth.groups.items()}),
        "one known row": replace(
            truth, groups={k: torch.where(torch.arange(len(v)) == 2, 1, -1) for k, v in truth.groups.items()}
        ),
        "one label": replace(truth, fake=torch.ones_like(truth.fake)),
        "no pairs, no masks": replace(
            truth, pairs=-torch.ones_like(truth.pairs), masks=-torch.ones_like(truth.masks)
        ),
        "one quality": replace(truth, qualities=torch.zeros_like(truth.qualities), tuples=torch.arange(12)),
    }


def test_it_is_finite_and_its_gradient_reaches_the_network(one: Case) -> None:
    one.network.zero_grad()
    value = one.value(one.outputs())
    assert value.shape == ()
    assert bool(torch.isfinite(value))
    value.backward()
    slopes = [p.grad for p in one.network.parameters() if p.grad is not None]
    assert all(bool(torch.isfinite(g).all()) for g in slopes)
    first = {
        n.split(".")[0]: p.grad for n, p in reversed(list(one.network.named_parameters())) if p.ndim == 4
    }
    trunks = ("trunk",) if one.network.config.architecture == "single" else ("content", "forgery", "face")
    assert all(float(first[trunk].abs().sum()) > 0 for trunk in trunks)


def test_it_is_defined_where_something_is_missing(one: Case) -> None:
    plain = one.outputs()
    for what, truth in odd_batches(one).items():
        outputs = cast(plain, torch.float32)
        value = one.value(outputs, truth)
        value.backward()
        assert bool(torch.isfinite(value)), what
        assert all(bool(torch.isfinite(v.grad).all()) for v in outputs.values() if v.grad is not None), what


def test_one_row_is_defined(one: Case) -> None:
    for row in (0, 1, 11):
        outputs = cast({k: v[[row]] for k, v in one.outputs().items()}, torch.float32)
        value = one.value(outputs, one.targets.at(torch.tensor([row])))
        value.backward()
        assert bool(torch.isfinite(value))
        assert all(bool(torch.isfinite(v.grad).all()) for v in outputs.values() if v.grad is not None)


def test_order_does_not_matter(one: Case) -> None:
    outputs = cast(one.outputs(), torch.float64)
    order = torch.randperm(12, generator=torch.Generator().manual_seed(4))
    moved = one.value({k: v[order] for k, v in outputs.items()}, one.targets.at(order))
    assert float(moved.detach()) == pytest.approx(float(one.value(outputs).detach()), rel=1e-6, abs=1e-7)


def test_single_precision_is_enough(one: Case) -> None:
    outputs = one.outputs()
    values = [float(one.value(cast(outputs, dtype)).detach()) for dtype in (torch.float64, torch.float32)]
    assert values[1] == pytest.approx(values[0], rel=2e-5, abs=1e-6)


def test_bfloat16_outputs_are_taken(one: Case) -> None:
    with torch.autocast("cpu", torch.bfloat16):
        outputs = one.outputs()
    exact = float(one.value(cast(outputs, torch.float32)).detach())
    assert float(one.value(outputs).detach()) == pytest.approx(exact, rel=0.02, abs=0.02)


def test_better_scores_cost_less(one: Case) -> None:
    if one.loss.role == "penalty":
        pytest.skip("says nothing of real/fake by itself")
    outputs, sign = cast(one.outputs(), torch.float32), 4 * (2 * one.targets.fake - 1)
    right, wrong = ({**outputs, "fake": s, "fake_agnostic": s} for s in (sign, -sign))
    assert float(one.value(right).detach()) < float(one.value(wrong).detach())
