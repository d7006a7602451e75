"""Losses against scipy, scikit-learn and the definitions they come from."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.optimize import minimize_scalar
from sklearn.metrics import log_loss

from detector.losses import LOSSES, Targets
from detector.losses.base import cvar
from manifests.errors import UsageError


def batch(n: int = 24, seed: int = 0) -> tuple[dict[str, torch.Tensor], Targets]:
    g = torch.Generator().manual_seed(seed)
    outputs = {
        "fake": torch.randn(n, generator=g).requires_grad_(),
        "race": torch.randn(n, 4, generator=g).requires_grad_(),
        "gender": torch.randn(n, 2, generator=g).requires_grad_(),
    }
    groups = {k: torch.randint(0, c, (n,), generator=g) for k, c in (("race", 4), ("gender", 2), ("cell", 3))}
    return outputs, Targets(torch.randint(0, 2, (n,), generator=g).float(), groups)


def log_losses(outputs: dict[str, torch.Tensor], targets: Targets) -> np.ndarray:
    p, y = torch.sigmoid(outputs["fake"]).detach().double().numpy(), targets.fake.numpy()
    return -(y * np.log(p) + (1 - y) * np.log(1 - p))


def risk_by_search(losses: np.ndarray, alpha: float) -> float:
    """min over lambda of lambda + 1/(alpha N) sum [l - lambda]_+, by scipy and by trying every kink."""

    def f(at: float) -> float:
        return at + np.maximum(losses - at, 0).sum() / (alpha * len(losses))

    found = minimize_scalar(f, bounds=(losses.min() - 1, losses.max() + 1), method="bounded")
    return min(float(found.fun), *(f(v) for v in losses))


@pytest.mark.parametrize("alpha", [0.1, 0.5, 0.77, 1.0])
@pytest.mark.parametrize("n", [1, 7, 20])
def test_cvar_is_the_minimum_it_is_defined_by(alpha: float, n: int) -> None:
    losses = np.random.default_rng(n).exponential(size=n)
    assert float(cvar(torch.from_numpy(losses), alpha)) == pytest.approx(
        risk_by_search(losses, alpha), abs=1e-9
    )


def test_cross_entropy_is_scikit_learns() -> None:
    outputs, targets = batch()
    value = LOSSES.create("cross-entropy")(outputs, targets, 0.0)
    expected = log_loss(targets.fake, torch.sigmoid(outputs["fake"]).detach())
    assert float(value.detach()) == pytest.approx(expected, abs=1e-6)


def test_multi_task_adds_the_heads_and_leaves_out_unknown_rows() -> None:
    outputs, targets = batch()
    targets.groups["race"][:5] = -1
    value = LOSSES.create("multi-task", {"demographic_weight": 0.3})(outputs, targets, 0.0)
    race = torch.softmax(outputs["race"], 1).detach()[5:].double()
    gender = torch.softmax(outputs["gender"], 1).detach().double()
    expected = (
        log_losses(outputs, targets).mean()
        + 0.3 * log_loss(targets.groups["race"][5:], race / race.sum(1, keepdim=True), labels=[0, 1, 2, 3])
        + 0.3 * log_loss(targets.groups["gender"], gender / gender.sum(1, keepdim=True), labels=[0, 1])
    )
    assert float(value.detach()) == pytest.approx(expected, abs=1e-5)
    value.backward()
    assert float(outputs["race"].grad[:5].abs().sum()) == 0.0
    assert float(outputs["race"].grad[5:].abs().sum()) > 0.0


def test_dag_fdd_is_the_risk_over_samples() -> None:
    outputs, targets = batch()
    expected = risk_by_search(log_losses(outputs, targets), 0.5)
    assert float(LOSSES.create("dag-fdd")(outputs, targets, 0.0).detach()) == pytest.approx(
        expected, abs=1e-5
    )


def test_daw_fdd_is_the_risk_over_the_cells_risks() -> None:
    outputs, targets = batch()
    targets.groups["cell"][:3] = -1
    losses, cells = log_losses(outputs, targets), targets.groups["cell"].numpy()
    inner = np.array([risk_by_search(losses[cells == c], 0.9) for c in range(3)])
    value = LOSSES.create("daw-fdd")(outputs, targets, 0.0)
    assert float(value.detach()) == pytest.approx(risk_by_search(inner, 0.5), abs=1e-5)


def test_unknown_names_and_parameters_are_named() -> None:
    with pytest.raises(UsageError, match="did you mean multi-task"):
        LOSSES.get("multitask")
    with pytest.raises(UsageError, match="alpha"):
        LOSSES.create("dag-fdd", {"alpha": 0.0})
