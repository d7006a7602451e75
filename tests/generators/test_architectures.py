"""Every architecture, mapping, noise mode, truncation and mix against plain references in float64."""

import numpy as np
import pytest
import torch

from generators.stylegan2 import mix_styles
from generators.stylegan2.operations import fir_kernel, modulated_conv2d, upsample2
from manifests.errors import UsageError
from tests.generators import brute_force
from tests.generators.small_generators import small_generator

RNG = np.random.default_rng(3)
Z = RNG.standard_normal((3, 12)).astype(np.float32)
ASYMMETRIC = (1.0, 2.0, 3.0, 1.5)


def classes(generator):
    return (
        np.eye(generator.c_dim, dtype=np.float32)[[k % generator.c_dim for k in range(len(Z))]]
        if generator.c_dim
        else None
    )


def difference(ours, theirs):
    return np.abs(ours.numpy() - theirs).max() / np.abs(theirs).max()


@pytest.mark.parametrize("architecture", ["skip", "resnet", "orig"])
@pytest.mark.parametrize(
    "more",
    [{}, {"conv_clamp": 0.7}, {"use_noise": False}, {"resample_filter": ASYMMETRIC}],
    ids=["plain", "clamped", "noiseless", "asymmetric"],
)
def test_images_equal_the_reference(architecture, more):
    generator = small_generator(architecture=architecture, **more)
    w = RNG.standard_normal((2, generator.num_ws, 16)).astype(np.float32)
    expected = brute_force.synthesised(generator, w)
    assert difference(generator.synthesis(w), expected) < 1e-4


@pytest.mark.parametrize(
    "kwargs",
    [
        {"layers": 1},
        {"layers": 8},
        {"layers": 8, "c_dim": 4},
        {"layers": 3, "mapping": {"layer_features": 24}},
        {"c_dim": 1, "mapping": {"embed_features": 5}},
        {"mapping": {"lr_multiplier": 1.0}},
    ],
    ids=str,
)
def test_latents_equal_the_reference(kwargs):
    generator = small_generator(**kwargs)
    c = classes(generator)
    for psi, cutoff in ((1.0, None), (0.6, None), (0.6, 2), (0.0, 4), (0.5, 0), (-0.5, 3)):
        ours, expected = (
            generator.mapping(Z, c, psi, cutoff),
            brute_force.mapped(generator, Z, c, psi, cutoff),
        )
        assert ours.shape == expected.shape
        assert difference(ours, expected) < 1e-5


def test_a_conditional_resnet_from_latent_to_image_equals_the_reference():
    generator = small_generator(architecture="resnet", c_dim=3, layers=8)
    c = classes(generator)
    expected = brute_force.synthesised(generator, brute_force.mapped(generator, Z, c, 0.7, 3))
    assert difference(generator(Z, c, 0.7, 3), expected) < 1e-4


def test_noise_modes_equal_the_reference():
    generator = small_generator()
    w = RNG.standard_normal((2, generator.num_ws, 16)).astype(np.float32)
    seeds = [5, 11]
    rngs = [torch.Generator().manual_seed(seed) for seed in seeds]

    def drawn(_, constant):
        return np.stack([torch.randn(1, *constant.shape, generator=rng).numpy() for rng in rngs]).astype(
            np.float64
        )

    none = brute_force.synthesised(generator, w, lambda _, constant: 0 * constant)
    assert difference(generator.synthesis(w, "none"), none) < 1e-4
    assert (
        difference(generator.synthesis(w, "random", seeds), brute_force.synthesised(generator, w, drawn))
        < 1e-4
    )
    assert difference(generator.synthesis(w, "const"), none) > 0.01


@pytest.mark.parametrize("demodulate", [True, False])
@pytest.mark.parametrize("up", [False, True])
def test_modulated_convolution_equals_a_weight_per_sample(demodulate, up):
    x, weight, style = (RNG.standard_normal(s) for s in ((3, 5, 6, 6), (4, 5, 3, 3), (3, 5)))
    expected = brute_force.modulated(
        x, weight, style, demodulate=demodulate, up=brute_force.low_pass(ASYMMETRIC) if up else None
    )
    given = [torch.tensor(value, dtype=torch.float32) for value in (x, weight, style)]
    ours = modulated_conv2d(*given, demodulate=demodulate, up_kernel=fir_kernel(ASYMMETRIC) if up else None)
    assert ours.shape == expected.shape
    assert difference(ours, expected) < 1e-5


def test_upsampling_equals_scipy():
    x = RNG.standard_normal((2, 3, 5, 5))
    ours = upsample2(torch.tensor(x, dtype=torch.float32), fir_kernel(ASYMMETRIC))
    assert difference(ours, brute_force.upsampled(x, brute_force.low_pass(ASYMMETRIC))) < 1e-6


def test_mixing_takes_coarse_from_one_and_fine_from_the_other():
    a, b = (RNG.standard_normal((3, 6, 16)).astype(np.float32) for _ in range(2))
    mixed = mix_styles(a, b, [0, 2, 6]).numpy()
    assert np.array_equal(mixed[0], b[0])
    assert np.array_equal(mixed[1], np.concatenate([a[1, :2], b[1, 2:]]))
    assert np.array_equal(mixed[2], a[2])
    assert torch.equal(mix_styles(a, b, 4), mix_styles(a, b, np.full(3, 4)))
    again = mix_styles(a, a, 3)
    again += 1
    assert not np.array_equal(again.numpy(), a)


def test_mixing_changes_the_image_by_the_reference():
    generator = small_generator()
    a, b = generator.mapping(Z[:2]), generator.mapping(Z[1:])
    w = np.stack([np.concatenate([x[:3], y[3:]]) for x, y in zip(a.numpy(), b.numpy(), strict=True)])
    assert difference(generator.synthesis(mix_styles(a, b, 3)), brute_force.synthesised(generator, w)) < 1e-4


@pytest.mark.parametrize(
    ("shape", "crossover", "message"),
    [
        ((3, 6, 16), 7, "out of range"),
        ((3, 6, 16), -1, "out of range"),
        ((3, 6, 16), [1, 2], "3 samples"),
        ((3, 6, 16), 1.5, "3 samples"),
        ((3, 5, 16), 1, "do not mix"),
        ((3, 16), 1, "do not mix"),
    ],
)
def test_mixing_refuses_what_does_not_fit(shape, crossover, message):
    with pytest.raises(UsageError, match=message):
        mix_styles(np.zeros((3, 6, 16), np.float32), np.zeros(shape, np.float32), crossover)
