"""PG-FDD: its terms by loops, its smooth risk by search, and what its network must keep apart."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.optimize import minimize_scalar
from scipy.special import expit, log_softmax

from detector.losses.base import cvar
from detector.losses.pg_fdd import contrast
from detector.losses.smooth_risk import smooth_cvar
from detector.models.architectures.pg_fdd import adain, partners
from detector.models.network import build_network
from detector.models.network_config import NetworkConfig
from manifests.errors import UsageError
from tests.detector.loss_cases import COUNTS, HEADS, case, cast, prepared, targets


def smooth_by_search(losses: np.ndarray, alpha: float, t: float) -> float:
    def f(at: float) -> float:
        return at + t * np.mean(np.logaddexp(0, (losses - at) / t)) / alpha

    bounds = (losses.min() - 40 * t, losses.max() + 40 * t)
    return float(minimize_scalar(f, bounds=bounds, method="bounded", options={"xatol": 1e-12}).fun)


@pytest.mark.parametrize("alpha", [0.1, 0.5, 0.95])
@pytest.mark.parametrize("n", [1, 2, 9])
def test_smooth_risk_is_the_minimum_it_is_defined_by(alpha: float, n: int) -> None:
    losses = np.random.default_rng(n).exponential(size=n)
    found = float(smooth_cvar(torch.from_numpy(losses), alpha, 0.1))
    assert found == pytest.approx(smooth_by_search(losses, alpha, 0.1), abs=1e-8)
    sharp = float(cvar(torch.from_numpy(losses), alpha))
    assert sharp - 1e-9 <= found <= sharp + 0.1 * np.log(2) / alpha
    assert float(smooth_cvar(torch.from_numpy(losses), alpha, 1e-5)) == pytest.approx(sharp, abs=1e-4)


def test_smooth_risk_has_the_slope_of_its_minimum() -> None:
    losses = torch.tensor([0.2, 0.9, 0.5], dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda x: smooth_cvar(x, 0.5, 0.1), losses)
    assert float(smooth_cvar(losses, 1.0, 0.1).detach()) == pytest.approx(1.6 / 3)


def test_contrast_by_loops() -> None:
    rng = np.random.default_rng(0)
    z, classes, total = rng.normal(size=(9, 3)), np.array([0, 0, 1, 1, 1, 2, -1, 0, -1]), []
    for i in range(9):
        same = [np.linalg.norm(z[i] - z[j]) for j in range(9) if j != i and classes[j] == classes[i] >= 0]
        other = [
            np.linalg.norm(z[i] - z[j])
            for j in range(9)
            if classes[j] != classes[i] and min(classes[i], classes[j]) >= 0
        ]
        if same and other:
            total.append(max(0.4 + np.mean(same) - np.mean(other), 0))
    assert len(total) == 6
    assert float(contrast(torch.from_numpy(z), torch.from_numpy(classes), 0.4)) == pytest.approx(
        np.mean(total), rel=1e-9
    )


def test_partners_are_the_other_half_of_the_pair() -> None:
    fake, pairs = torch.tensor([0.0, 1, 1, 0, 1, 0]), torch.tensor([7, 7, 3, -1, -1, 5])
    assert partners(fake, pairs).tolist() == [1, 0, 2, 3, 4, 5]


def test_the_loss_is_its_six_terms() -> None:
    made = case("pg-fdd")
    outputs, truth = cast(made.outputs(), torch.float64), made.targets
    out = {k: v.detach().numpy() for k, v in outputs.items()}
    y, cells, family = truth.fake.numpy(), truth.groups["cell"].numpy(), truth.groups["family"].numpy()

    def entropy(logits: np.ndarray) -> np.ndarray:
        return -(y * np.log(expit(logits)) + (1 - y) * np.log(1 - expit(logits)))

    def ldam(head: str) -> float:
        counts, at = np.array(COUNTS[head], float), truth.groups[head].numpy()
        delta = np.where(counts > 0, 0.5 * (np.maximum(counts, 1) / counts[counts > 0].min()) ** -0.25, 0)
        rows = [r for r in range(12) if at[r] >= 0]
        return float(
            np.mean(
                [
                    -log_softmax(out[head][r] - 30 * delta * (np.arange(len(delta)) == at[r]))[at[r]]
                    for r in rows
                ]
            )
        )

    images = truth.images.numpy()
    crossed = [
        r for r in range(12) if any(truth.pairs[q] == truth.pairs[r] and y[q] != y[r] for q in range(12))
    ]
    assert len(crossed) == 12
    rebuilt = (
        np.abs(images - out["reconstruction"]).mean()
        + np.abs(images - out["cross_reconstruction"])[crossed].mean()
    )
    sides = ((out["agnostic"], y.astype(int)), (out["specific"], family))
    risks = [
        float(cvar(torch.from_numpy(entropy(out["fake"])[cells == c]), 0.9))
        for c in np.unique(cells)
        if c >= 0
    ]
    expected = (
        entropy(out["fake_agnostic"]).mean()
        + 0.1 * np.mean([-log_softmax(out["family"][r])[family[r]] for r in range(12) if family[r] >= 0])
        + 0.3 * rebuilt
        + 0.05 * sum(float(contrast(*map(torch.from_numpy, side), 3.0)) for side in sides)
        + 0.1 * np.mean([ldam(h) for h in ("race", "gender", "cell")])
        + smooth_by_search(np.array(risks), 0.5, 0.1)
    )
    assert float(made.loss(outputs, truth, 0.0).detach()) == pytest.approx(expected, rel=1e-5)


def test_adain_takes_the_styles_moments() -> None:
    g = torch.Generator().manual_seed(0)
    a, b = torch.randn(2, 3, 6, 6, generator=g), 2 + 3 * torch.randn(2, 3, 5, 5, generator=g)
    fused = adain(a, b)
    torch.testing.assert_close(fused.mean((2, 3)), b.mean((2, 3)))
    torch.testing.assert_close(
        fused.var((2, 3), correction=0), b.var((2, 3), correction=0), rtol=1e-3, atol=1e-3
    )


def test_the_verdict_sees_the_forgery_and_crossing_changes_the_style_alone() -> None:
    made = case("pg-fdd")
    network, images = made.network, made.targets.images
    with torch.no_grad():
        before = network(images)["fake"]
        network.to_agnostic[0].weight.mul_(-1)
        assert float((network(images)["fake"] - before).abs().max()) > 1e-2
    assert "reconstruction" not in network.eval()(images)
    own = torch.arange(12)
    out = network.train()(images, own)
    torch.testing.assert_close(out["reconstruction"], out["cross_reconstruction"])
    other = network(images, own.flip(0))
    assert float((other["reconstruction"] - other["cross_reconstruction"]).detach().abs().max()) > 1e-4
    assert out["reconstruction"].shape == images.shape
    assert network.seen is network.forgery
    assert len({id(encoder) for encoder in network.encoders}) == 3
    assert not [name for name in network.state_dict() if name.startswith("trunk")]


def test_no_known_group_leaves_the_terms_without_groups() -> None:
    made, truth = case("pg-fdd"), targets()
    outputs = made.outputs()
    for value in truth.groups.values():
        value.fill_(-1)
    terms = prepared("pg-fdd").terms(outputs, truth, 0.0)
    assert {k for k, v in terms.items() if float(v.detach()) == 0.0} == {"family", "demographic", "fair"}


@pytest.mark.parametrize(("backbone", "size"), [("test_resnet", 32), ("test_vit", 160)])
def test_maps_without_statistics_are_refused(backbone: str, size: int) -> None:
    config = NetworkConfig(backbone=backbone, input_size=size, heads=HEADS, architecture="pg-fdd")
    with pytest.raises(UsageError, match="PG-FDD needs 2 x 2"):
        build_network(config, 1)
