"""Losses and augmentation of generator training against closed forms."""

import math

import numpy as np
import pytest
import torch
from torch import nn

from generators.stylegan2 import Generator, GeneratorConfig, MappingConfig, SynthesisConfig
from generators.training.augmentation import AdaptiveProbability, augment, colour, geometry
from generators.training.losses import discriminator_loss, generator_loss, path_lengths, r1_penalty


def rng(seed=0):
    return torch.Generator().manual_seed(seed)


def test_logistic_losses_by_hand():
    real, fake = torch.tensor([[2.0], [-1.0]]), torch.tensor([[0.5], [3.0]])

    def sigmoid(x):
        return 1 / (1 + math.exp(-x))

    expected_d = -np.mean([math.log(sigmoid(2)), math.log(sigmoid(-1))])
    expected_d -= np.mean([math.log(1 - sigmoid(0.5)), math.log(1 - sigmoid(3))])
    assert float(discriminator_loss(real, fake)) == pytest.approx(expected_d, rel=1e-5)
    assert float(generator_loss(fake)) == pytest.approx(
        -np.mean([math.log(sigmoid(0.5)), math.log(sigmoid(3))]), rel=1e-5
    )


def test_r1_of_a_quadratic_is_known():
    class Quadratic(nn.Module):
        def __init__(self):
            super().__init__()
            self.a = nn.Parameter(torch.tensor(3.0))

        def forward(self, x, c):
            return self.a * x.square().sum(dim=(1, 2, 3))[:, None] / 2

    model, x = Quadratic(), torch.randn(4, 3, 5, 5, generator=rng())
    penalty = r1_penalty(model, x, None)  # gradient a x: |a x|^2 = a^2 |x|^2
    energy = float(x.square().sum(dim=(1, 2, 3)).mean())
    assert float(penalty.detach()) == pytest.approx(9 * energy, rel=1e-5)
    penalty.backward()
    assert float(model.a.grad) == pytest.approx(2 * 3 * energy, rel=1e-5)


def test_path_lengths_against_the_jacobian():
    model = Generator(
        GeneratorConfig(
            z_dim=4,
            w_dim=4,
            img_resolution=8,
            mapping_kwargs=MappingConfig(num_layers=1),
            synthesis_kwargs=SynthesisConfig(channel_base=32, channel_max=4),
        )
    )
    model.initialise(0)
    w = torch.randn(2, model.num_ws, 4, generator=rng(1), requires_grad=True)
    found = path_lengths(model, w, rng(5))
    again = rng(5)
    with torch.no_grad():
        shape = model.synthesis(w, "random", again).shape
    noise = torch.randn(shape, generator=again) / 8
    jacobian = torch.autograd.functional.jacobian(lambda v: model.synthesis(v, "random", rng(5)), w)
    product = torch.einsum("nchw,nchwmld->nmld", noise, jacobian)
    expected = [product[n, n].square().sum(dim=1).mean().sqrt() for n in range(2)]
    assert torch.allclose(found, torch.stack(expected), rtol=1e-3)


def test_no_augmentation_at_p_zero_and_the_same_numbers_twice():
    x = torch.rand(6, 3, 16, 16, generator=rng()) * 2 - 1
    assert augment(x, 0.0, rng(1)) is x
    assert augment(x, 0.7, rng(1)).equal(augment(x, 0.7, rng(1)))
    assert not augment(x, 0.7, rng(1)).equal(augment(x, 0.7, rng(2)))


def test_images_are_augmented_as_often_as_p_says():
    x = torch.rand(2000, 3, 4, 4, generator=rng()) * 2 - 1
    for p in (0.05, 0.2):
        # 13 independent draws decide; some of them draw the neutral value (flip 1/2, turn 1/4, luma 1/2,
        # shift 0 of 4 px).
        changed = (augment(x, p, rng(3)) - x).abs().amax(dim=(1, 2, 3)) > 1e-4
        keep = (1 - p) ** 7 * (1 - p / 2) ** 2 * (1 - p * 3 / 4) * (1 - p)
        assert float(changed.float().mean()) == pytest.approx(1 - keep, abs=0.06)


def test_geometry_moves_pixels_as_numpy_does():
    x = torch.rand(1, 3, 8, 8, generator=rng()) * 2 - 1
    flip, turn = torch.eye(3), torch.eye(3)
    flip[0, 0] = -1
    turn[:2, :2] = torch.tensor([[0.0, -1.0], [1.0, 0.0]])

    def moved(matrix):
        grid = torch.nn.functional.affine_grid(matrix[None, :2], [1, 3, 8, 8], align_corners=False)
        return torch.nn.functional.grid_sample(x, grid, padding_mode="reflection", align_corners=False)[
            0
        ].numpy()

    assert np.allclose(moved(flip), x[0].numpy()[:, :, ::-1], atol=1e-5)
    turned = moved(turn)
    assert any(np.allclose(turned, np.rot90(x[0].numpy(), k, axes=(1, 2)), atol=1e-5) for k in (1, 3))
    matrices = geometry(500, 8, 1.0, rng(2))
    assert torch.isfinite(matrices).all()
    assert (torch.linalg.det(matrices).abs() > 1e-3).all()
    assert (torch.linalg.det(matrices) < 0).float().mean() == pytest.approx(
        0.5, abs=0.08
    )  # mirrored half the time


def test_colour_leaves_grey_grey_but_for_brightness():
    matrix = colour(200, 1.0, rng(4))
    grey = torch.tensor([0.3, 0.3, 0.3, 1.0])
    out = (matrix @ grey)[:, :3]
    assert torch.allclose(out, out.mean(dim=1, keepdim=True).expand_as(out), atol=1e-5)
    assert torch.allclose(colour(5, 0.0, rng(4)), torch.eye(4).expand(5, 4, 4), atol=1e-6)


def test_gradients_flow_through_augmentation():
    x = (torch.rand(4, 3, 8, 8, generator=rng()) * 2 - 1).requires_grad_(True)
    augment(x, 0.9, rng(1)).square().sum().backward()
    assert (x.grad.abs().sum(dim=(1, 2, 3)) > 0).all()


@pytest.mark.parametrize(("sign", "p"), [(0.9, 0.32), (0.1, 0.0)])
def test_p_rises_while_the_discriminator_is_too_sure(sign, p):
    ada = AdaptiveProbability(0.6, kimg=1.0)
    for step in range(40):
        ada.see(sign, step, 8)
    assert ada.p == pytest.approx(p, abs=1e-6)


def test_p_stays_in_bounds_and_off():
    ada, off = AdaptiveProbability(0.6, kimg=0.01), AdaptiveProbability(None, kimg=1.0)
    for step in range(40):
        ada.see(1.0, step, 8)
        off.see(1.0, step, 8)
    assert (ada.p, off.p) == (1.0, 0.0)
