"""The discriminator against scipy and brute force, and its growth."""

import numpy as np
import pytest
import torch
from scipy.signal import convolve2d

from generators.stylegan2 import Generator, GeneratorConfig, MappingConfig, SynthesisConfig
from generators.stylegan2.discriminator import (
    Discriminator,
    DiscriminatorConfig,
    EpilogueConfig,
    minibatch_deviation,
)
from generators.stylegan2.operations import fir_kernel, upsample2
from generators.stylegan2.resampling import downsample2, downsample_conv2
from generators.training.growth import grow_discriminator, grow_generator
from manifests.errors import UsageError

TAPS = np.outer([1, 3, 3, 1], [1, 3, 3, 1]) / 64


def drawn(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def small(resolution=16, **more):
    model = Discriminator(
        DiscriminatorConfig(img_resolution=resolution, channel_base=64, channel_max=8, **more)
    )
    model.initialise(3)
    return model


def small_generator(resolution=16, architecture="skip"):
    model = Generator(
        GeneratorConfig(
            z_dim=8,
            w_dim=8,
            img_resolution=resolution,
            mapping_kwargs=MappingConfig(num_layers=2),
            synthesis_kwargs=SynthesisConfig(channel_base=64, channel_max=8, architecture=architecture),
        )
    )
    model.initialise(4)
    return model.requires_grad_(False)


def low_passed(x):
    """Full convolution with the low-pass: output [H + 3, W + 3], its first row seeing one pixel alone."""
    return np.stack([[convolve2d(plane, TAPS) for plane in image] for image in x.numpy().astype(np.float64)])


def test_downsampling_is_the_low_pass_at_every_second_pixel():
    x = drawn(2, 3, 8, 8)
    expected = low_passed(x)[:, :, 2::2, 2::2][:, :, :4, :4]
    assert np.allclose(downsample2(x, fir_kernel((1.0, 3.0, 3.0, 1.0))), expected, atol=1e-5)


def test_downsampling_convolution_against_scipy():
    x, weight = drawn(2, 3, 8, 8), drawn(5, 3, 3, 3, seed=1)
    passed = low_passed(x)[:, :, 1:-1, 1:-1]
    expected = np.zeros((2, 5, 4, 4))
    for n in range(2):
        for o in range(5):
            total = sum(
                convolve2d(passed[n, i], weight[o, i].numpy()[::-1, ::-1], mode="valid") for i in range(3)
            )
            expected[n, o] = total[::2, ::2]
    assert np.allclose(downsample_conv2(x, weight, fir_kernel((1.0, 3.0, 3.0, 1.0))), expected, atol=1e-4)


@pytest.mark.parametrize(
    ("count", "group", "channels"), [(8, 4, 1), (4, 4, 2), (6, 3, 1), (3, None, 1), (2, 4, 1)]
)
def test_minibatch_deviation_against_loops(count, group, channels):
    x = drawn(count, 4, 3, 3)
    size = min(group or count, count)
    groups = count // size
    out = minibatch_deviation(x, group, channels)
    assert out.shape == (count, 4 + channels, 3, 3)
    per = 4 // channels
    for n in range(count):
        members = [m for m in range(count) if m % groups == n % groups]
        for f in range(channels):
            block = x[members][:, f * per : (f + 1) * per].numpy()
            expected = np.sqrt(block.var(axis=0) + 1e-8).mean()
            assert np.allclose(out[n, 4 + f], expected, atol=1e-5)


def test_a_batch_that_does_not_split_into_groups_is_refused():
    with pytest.raises(UsageError, match="multiple"):
        minibatch_deviation(drawn(6, 4, 2, 2), 4, 1)


@pytest.mark.parametrize("architecture", ["resnet", "skip", "orig"])
@pytest.mark.parametrize("classes", [0, 3])
def test_every_architecture_scores_and_learns(architecture, classes):
    model = small(architecture=architecture, c_dim=classes)
    c = torch.eye(3)[[0, 1, 2, 0]] if classes else None
    scores = model(drawn(4, 3, 16, 16), c)
    assert scores.shape == (4, 1)
    scores.sum().backward()
    silent = [name for name, p in model.named_parameters() if p.grad is None or not p.grad.abs().sum() > 0]
    assert not silent


def test_the_class_changes_the_score_and_must_be_given():
    model = small(c_dim=3, epilogue_kwargs=EpilogueConfig(mbstd_group_size=1))
    x = drawn(1, 3, 16, 16).repeat(2, 1, 1, 1)
    scores = model(x, torch.eye(3)[:2]).detach()
    assert abs(float(scores[0] - scores[1])) > 1e-3
    with pytest.raises(UsageError, match="class-conditional"):
        model(x)


def test_the_grown_generator_gives_the_old_image_doubled():
    old = small_generator(16)
    new = grow_generator(old, old.config.model_copy(update={"img_resolution": 32}), seed=1)
    z = drawn(3, 8)
    assert torch.allclose(new(z), upsample2(old(z), fir_kernel((1.0, 3.0, 3.0, 1.0))), atol=1e-5)
    new.synthesis.b32.torgb.weight.data.normal_(generator=torch.Generator().manual_seed(1))
    assert not torch.allclose(new(z), upsample2(old(z), fir_kernel((1.0, 3.0, 3.0, 1.0))), atol=1e-2)


@pytest.mark.parametrize("architecture", ["resnet", "skip"])
def test_the_grown_discriminator_fades_from_the_old_score(architecture):
    old = small(16, architecture=architecture)
    new = grow_discriminator(old, old.config.model_copy(update={"img_resolution": 32}), seed=1)
    x = drawn(4, 3, 32, 32)
    before = old(downsample2(x, fir_kernel((1.0, 3.0, 3.0, 1.0))))
    if architecture == "resnet":
        assert torch.allclose(new(x), before, atol=1e-4)
        new.fade = 1.0
        assert not torch.allclose(new(x), before, atol=1e-2)
    else:
        assert new.b16.fromrgb.weight.equal(old.b16.fromrgb.weight)


@pytest.mark.parametrize(
    ("resolution", "architecture", "words"),
    [(64, "skip", "grow it to 32 px first"), (32, "resnet", "skip architecture")],
)
def test_what_cannot_grow_is_refused(resolution, architecture, words):
    old = small_generator(16, architecture)
    with pytest.raises(UsageError) as caught:
        grow_generator(old, old.config.model_copy(update={"img_resolution": resolution}), seed=1)
    assert words in f"{caught.value} {caught.value.fix}"
