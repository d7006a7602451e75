"""Losses against loops in numpy, written from the formulas."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from scipy.special import expit, log_softmax
from torch import Tensor

from detector.losses import LOSSES, Targets
from detector.losses.kernels import coco, gaussian, hsic, normalised_hsic
from detector.losses.ldam import margins
from tests.detector.loss_cases import COUNTS, prepared, targets

N = 12
RNG = np.random.default_rng(5)
TRUTH = targets()
OUTPUTS: dict[str, Tensor] = {
    "fake": torch.from_numpy(RNG.normal(size=N)),
    "race": torch.from_numpy(RNG.normal(size=(N, 3))),
    "gender": torch.from_numpy(RNG.normal(size=(N, 2))),
    "cell": torch.from_numpy(5 * RNG.normal(size=(N, 4))),
    "family": torch.from_numpy(RNG.normal(size=(N, 3))),
    "features": torch.from_numpy(RNG.normal(size=(N, 5))),
    "layers.0": torch.from_numpy(RNG.normal(size=(N, 4, 3, 3))),
    "layers.1": torch.from_numpy(RNG.normal(size=(N, 6, 2, 2))),
    "layers.2": torch.from_numpy(3 * RNG.normal(size=(N, 8, 1, 1))),
    "mask": torch.from_numpy(RNG.normal(size=(N, 8, 8))),
}
Y, Z = TRUTH.fake.numpy(), OUTPUTS["fake"].numpy()


def value(name: str, truth: Targets = TRUTH, smoothing: float = 0.0, **params: Any) -> float:
    return float(prepared(name, params)(OUTPUTS, truth, smoothing))


def entropies(logits: np.ndarray = Z, truth: np.ndarray = Y) -> np.ndarray:
    return np.array(
        [-np.log(expit(z)) if y else -np.log(1 - expit(z)) for z, y in zip(logits, truth, strict=True)]
    )


@pytest.mark.parametrize(("gamma", "alpha"), [(0.0, None), (2.0, None), (1.5, 0.25)])
@pytest.mark.parametrize("smoothing", [0.0, 0.2])
def test_focal(gamma: float, alpha: float | None, smoothing: float) -> None:
    total = 0.0
    for z, y in zip(Z, Y, strict=True):
        p = expit(z)
        on_fake = -(1.0 if alpha is None else alpha) * (1 - p) ** gamma * np.log(p)
        on_real = -(1.0 if alpha is None else 1 - alpha) * p**gamma * np.log(1 - p)
        t = y * (1 - smoothing) + smoothing / 2
        total += t * on_fake + (1 - t) * on_real
    assert value("focal", smoothing=smoothing, gamma=gamma, alpha=alpha) == pytest.approx(total / N, rel=1e-6)


def test_ldam_margins_are_the_papers() -> None:
    found = margins((16, 81, 0, 1), 0.5).numpy()
    np.testing.assert_allclose(found, [0.5 / 2, 0.5 / 3, 0.0, 0.5], rtol=1e-12)


def test_ldam_of_a_head_takes_the_margin_from_the_true_class() -> None:
    delta = np.array([0.5 * (n / 5) ** -0.25 for n in COUNTS["cell"]])
    cells, total = TRUTH.groups["cell"].numpy(), []
    for row in range(N):
        if cells[row] >= 0:
            cosines = OUTPUTS["cell"][row].numpy() / 30
            cosines[cells[row]] -= delta[cells[row]]
            total.append(-log_softmax(30 * cosines)[cells[row]])
    assert 0 < len(total) < N
    assert value("ldam", head="cell") == pytest.approx(np.mean(total), rel=1e-6)


def test_ldam_of_real_and_fake() -> None:
    total = [-np.log(expit(z - 15)) if y else -np.log(1 - expit(z + 15)) for z, y in zip(Z, Y, strict=True)]
    assert value("ldam") == pytest.approx(np.mean(total), rel=1e-6)


@pytest.mark.parametrize("across", ["any", "cells"])
@pytest.mark.parametrize("metric", ["images", "features"])
def test_individual_fairness(across: str, metric: str) -> None:
    p, cells, total = expit(Z), TRUTH.groups["cell"].numpy(), []
    images, features = TRUTH.images.numpy().astype(float), OUTPUTS["features"].numpy()
    for i in range(N):
        for j in range(i + 1, N):
            if Y[i] == Y[j] and (across == "any" or (min(cells[i], cells[j]) >= 0 and cells[i] != cells[j])):
                if metric == "images":
                    far = np.sqrt(np.mean((images[i] - images[j]) ** 2))
                else:
                    far = np.linalg.norm(
                        features[i] / np.linalg.norm(features[i]) - features[j] / np.linalg.norm(features[j])
                    )
                total.append(max(abs(p[i] - p[j]) - 0.05 * far, 0.0))
    found = value("individual-fairness", across=across, metric=metric, lipschitz=0.05)
    assert found == pytest.approx(np.mean(total), rel=1e-5)
    assert found > 0


def gram(rows: np.ndarray, variance: float) -> np.ndarray:
    m = len(rows)
    return np.array(
        [[np.exp(-np.sum((rows[i] - rows[j]) ** 2) / (2 * variance)) for j in range(m)] for i in range(m)]
    )


def centring(m: int) -> np.ndarray:
    return np.eye(m) - np.ones((m, m)) / m


def brute_nhsic(k: np.ndarray, l: np.ndarray) -> float:  # noqa: E741
    m, h = len(k), centring(len(k))
    r = [h @ g @ h @ np.linalg.inv(h @ g @ h + 1e-5 * m * np.eye(m)) for g in (k, l)]
    return float(np.trace(r[0] @ r[1]))


def brute_coco(k: np.ndarray, l: np.ndarray) -> float:  # noqa: E741
    h = centring(len(k))
    return float(np.sqrt(np.linalg.svd(h @ k @ h @ h @ l @ h, compute_uv=False)[0]) / len(k))


@pytest.mark.parametrize(("name", "measure"), [("bido-hsic", brute_nhsic), ("bido-coco", brute_coco)])
@pytest.mark.parametrize(("against", "pooling"), [("images", "flatten"), ("cell", "mean")])
def test_bido(name: str, measure: Any, against: str, pooling: str) -> None:
    cells = TRUTH.groups["cell"].numpy()
    known = np.flatnonzero(cells >= 0) if against == "cell" else np.arange(N)
    x = np.eye(4)[cells[known]] if against == "cell" else TRUTH.images.numpy().astype(float).reshape(N, -1)
    labels, total = np.eye(2)[Y.astype(int)], 0.0

    def kernel(rows: np.ndarray) -> np.ndarray:
        return gram(rows, 25.0 * rows.shape[1])

    for layer in range(3):
        z = OUTPUTS[f"layers.{layer}"].numpy()
        z = z.reshape(N, -1) if pooling == "flatten" else z.mean((2, 3))
        total += 0.3 * measure(kernel(x), kernel(z[known])) - 0.7 * measure(kernel(z), kernel(labels))
    assert value(name, against=against, pooling=pooling, hide=0.3, keep=0.7) == pytest.approx(total, rel=1e-5)


def test_kernels_have_the_slopes_of_their_values() -> None:
    z = torch.from_numpy(RNG.normal(size=(5, 3))).requires_grad_()
    fixed = gaussian(torch.from_numpy(RNG.normal(size=(5, 2))), 1.0)
    for measure in (hsic, normalised_hsic, coco):
        assert torch.autograd.gradcheck(lambda x, measure=measure: measure(fixed, gaussian(x, 2.0)), z)


def test_dependence_on_something_constant_is_nothing() -> None:
    z, constant = (
        gaussian(torch.from_numpy(RNG.normal(size=(5, 3))).requires_grad_(), 1.0),
        torch.ones(5, 5).double(),
    )
    for measure in (hsic, normalised_hsic, coco):
        value = measure(constant, z)
        assert abs(float(value.detach())) < 1e-12
        assert bool(torch.isfinite(torch.autograd.grad(value, z, retain_graph=True)[0]).all())


def test_a_missing_cell_does_not_count_and_a_single_row_is_its_cells_risk() -> None:
    cells = torch.tensor([2, 0, 0, -1, 2, 0, 3])
    truth = Targets(TRUTH.fake[:7], {"cell": cells})
    losses = entropies()[:7]
    risks = sorted(
        [
            (np.sort(losses[[1, 2, 5]])[1:].sum() + 0.7 * losses[[1, 2, 5]].min()) / 2.7,
            (losses[[0, 4]].max() + 0.8 * losses[[0, 4]].min()) / 1.8,
            losses[6],
        ]
    )
    found = LOSSES.create("daw-fdd")({"fake": OUTPUTS["fake"][:7]}, truth, 0.0)
    assert float(found) == pytest.approx((risks[2] + 0.5 * risks[1]) / 1.5, rel=1e-9)


def test_qad_over_complete_and_broken_tuples() -> None:
    def brute(rows: list[int]) -> float:
        quality = TRUTH.qualities.numpy()[rows]
        first, second = ([r for r, at in zip(rows, quality, strict=True) if at == q] for q in (0, 1))
        entropy = entropies()[first].mean() + entropies()[second].mean()
        both = sorted(set(TRUTH.tuples.numpy()[first]) & set(TRUTH.tuples.numpy()[second]))
        a, b = ([next(r for r in side if TRUTH.tuples[r] == t) for t in both] for side in (first, second))
        h, agreement = centring(len(both)), 0.0
        for layer, weight in enumerate((0.1, 0.25, 0.5)):
            z = OUTPUTS[f"layers.{layer}"].numpy().mean((2, 3))
            agreement += weight * np.trace(gram(z[a], 36.0) @ h @ gram(z[b], 36.0) @ h) / (len(both) - 1) ** 2
        return entropy - 0.5 * agreement

    loss = LOSSES.create("qad", {"alpha": 0.5})
    for rows in (list(range(N)), [0, 2, 3, 4, 7, 9, 10, 11]):
        at = torch.tensor(rows)
        found = loss({k: v[at] for k, v in OUTPUTS.items()}, TRUTH.at(at), 0.0)
        assert float(found) == pytest.approx(brute(rows), rel=1e-6)


def weighted_hsic(k: np.ndarray, l: np.ndarray, w: np.ndarray) -> float:  # noqa: E741
    """E k l + E k E l - 2 E[E k E l] over the weighted sample, by loops."""
    p, n = w / w.sum(), len(w)
    joint = sum(p[i] * p[j] * k[i, j] * l[i, j] for i in range(n) for j in range(n))
    apart = sum(p[i] * p[j] * k[i, j] for i in range(n) for j in range(n)) * (p @ l @ p)
    mixed = sum(p[i] * (k[i] @ p) * (l[i] @ p) for i in range(n))
    return float(joint + apart - 2 * mixed)


def test_stable_reweighting_lowers_the_dependence_it_is_defined_by() -> None:
    from detector.losses.stable_reweighting import dimension_kernels, pairwise_dependence, stable_weights

    z = RNG.normal(size=(16, 4))
    z[:, 1] = z[:, 0] + 0.3 * z[:, 1]
    kernels = dimension_kernels(torch.from_numpy(z), 64, 1.0)
    brute = [gram(((z[:, k] - z[:, k].mean()) / z[:, k].std())[:, None], 1.0) for k in range(4)]
    weights = np.abs(RNG.normal(size=16)) + 0.1
    weights *= 16 / weights.sum()
    for w in (np.ones(16), weights):
        expected = sum(weighted_hsic(brute[k], brute[m], w) for k in range(4) for m in range(k + 1, 4))
        assert float(pairwise_dependence(kernels, torch.from_numpy(w))) == pytest.approx(expected, rel=1e-9)
    found = stable_weights(kernels, 40, 0.3)
    assert float(found.sum()) == pytest.approx(16)
    assert float(found.min()) >= 0
    before, after = (
        float(pairwise_dependence(kernels, w)) for w in (torch.ones(16, dtype=torch.float64), found)
    )
    assert after < 0.7 * before
    best = stable_weights(dimension_kernels(OUTPUTS["features"], 64, 1.0), 10, 0.3).numpy()
    assert value("stable-reweighting") == pytest.approx((best * entropies()).mean(), rel=1e-6)


def test_forgery_mask_leaves_out_unknown_rows() -> None:
    total = []
    for row in range(N):
        mask = TRUTH.masks[row].numpy()
        if mask.min() >= 0:
            small = mask.reshape(8, 8, 8, 8).mean((1, 3))
            p = expit(OUTPUTS["mask"][row].numpy())
            total.append(-(small * np.log(p) + (1 - small) * np.log(1 - p)).mean())
    assert len(total) == 10
    assert value("forgery-mask") == pytest.approx(np.mean(total), rel=1e-5)


def test_forgery_family_and_demographic_heads() -> None:
    def head(name: str) -> float:
        truth = TRUTH.groups[name].numpy()
        return float(
            np.mean([-log_softmax(OUTPUTS[name][r].numpy())[truth[r]] for r in range(N) if truth[r] >= 0])
        )

    assert value("forgery-family") == pytest.approx(head("family"), rel=1e-6)
    assert value("demographic") == pytest.approx(head("race") + head("gender") + head("cell"), rel=1e-6)


@pytest.mark.parametrize(("t", "alpha"), [(2.0, 2.0), (0.5, 1.0)])
def test_hypersphere(t: float, alpha: float) -> None:
    unit = OUTPUTS["features"].numpy()
    unit = unit / np.linalg.norm(unit, axis=1, keepdims=True)
    pairs = [(i, j) for i in range(N) for j in range(i)]
    apart = {pair: np.linalg.norm(unit[pair[0]] - unit[pair[1]]) for pair in pairs}
    uniform = np.log(np.mean([np.exp(-t * apart[p] ** 2) for p in pairs]))
    align = np.mean([apart[p] ** alpha for p in pairs if Y[p[0]] == Y[p[1]]])
    found = value("hypersphere", uniformity=0.5, alignment=0.1, t=t, alpha=alpha)
    assert found == pytest.approx(0.5 * uniform + 0.1 * align, abs=1e-6)
