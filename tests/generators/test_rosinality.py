"""Checkpoints of stylegan2-pytorch: the same images as that layout computes, and clear refusals of what is
none.
"""

import argparse
import re

import numpy as np
import pytest
import torch

from generators import load_generator
from generators.checkpoints.rosinality import read_rosinality
from manifests.errors import DataError, MissingError, UsageError
from tests.generators import rosinality_layout as layout

Z = np.random.default_rng(0).standard_normal((3, 12)).astype(np.float32)
MEAN = torch.arange(12.0) / 12


def saved(path, content, **kwargs):
    torch.save(content, path, **kwargs)
    return path


def changed(**changes):
    state = layout.random_state()
    for name, value in changes.items():
        name = name.replace("__", ".")
        state.pop(name, None)
        if value is not None:
            state[name] = value
    return state


def check_images(path, state):
    generator = load_generator(path)
    w = layout.latents(state, Z)
    ours = generator.mapping(Z).numpy()
    assert np.abs(ours - w[:, None]).max() < 1e-4
    expected = layout.images(state, w)
    assert np.abs(expected).max() > 1
    assert np.abs(generator.synthesis(ours).numpy() - expected).max() < 1e-4
    return generator


@pytest.mark.parametrize("zipped", [True, False])
@pytest.mark.parametrize(
    ("size", "channels", "base"),
    [(16, {4: 8, 8: 8, 16: 4}, 64), (8, {4: 6, 8: 6}, 48), (32, {4: 8, 8: 4, 16: 2, 32: 1}, 32)],
)
def test_images_equal_those_of_the_layout(tmp_path, zipped, size, channels, base):
    state = layout.random_state(size, channels=channels)
    content = {
        "g_ema": state,
        "g": layout.random_state(size, channels=channels, seed=1),
        "latent_avg": MEAN,
        "args": argparse.Namespace(size=size, lr=0.002),
        "ada_aug_p": 0.1,
    }
    path = saved(tmp_path / "model.pt", content, _use_new_zipfile_serialization=zipped)
    generator = check_images(path, state)
    config = generator.config
    assert (
        config.img_resolution,
        config.synthesis_kwargs.channel_base,
        config.mapping_kwargs.num_layers,
    ) == (size, base, 3)
    assert (config.synthesis_kwargs.architecture, config.synthesis_kwargs.conv_clamp) == ("skip", None)
    assert torch.equal(generator.mapping.w_avg, MEAN)
    assert generator.notes == ()
    pulled = MEAN.numpy() + 0.5 * (layout.latents(state, Z) - MEAN.numpy())
    assert np.abs(generator.mapping(Z, psi=0.5).numpy()[:, 0] - pulled).max() < 1e-4


def test_either_network_is_read(tmp_path):
    states = {"g_ema": layout.random_state(), "g": layout.random_state(seed=1)}
    path = saved(tmp_path / "model.pth", {**states, "latent_avg": MEAN})
    for which, state in states.items():
        _, found, _ = read_rosinality(path, which)
        assert torch.equal(found["synthesis.b8.conv0.weight"], state["convs.0.conv.weight"][0])
        assert torch.equal(found["synthesis.b16.torgb.bias"], state["to_rgbs.1.bias"].reshape(-1))
    check_images(path, states["g_ema"])
    with pytest.raises(UsageError, match="did you mean g_ema"):
        read_rosinality(path, "gema")
    with pytest.raises(MissingError):
        read_rosinality(tmp_path / "absent.pt")


def test_what_a_file_lacks_is_made_up_by_fixed_seeds_and_said(tmp_path):
    state = layout.random_state(noises=False, kernels=False)
    path = saved(tmp_path / "model.pt", {"g_ema": state})
    one, again = load_generator(path), load_generator(path)
    assert all(
        torch.equal(a, b) for a, b in zip(one.state_dict().values(), again.state_dict().values(), strict=True)
    )
    assert len(one.notes) == 2
    assert "lacks 5 constant noise maps" in one.notes[0]
    assert "lacks latent_avg" in one.notes[1]
    constants = [value for name, value in one.state_dict().items() if name.endswith("noise_const")]
    assert [float(c.std()) for c in constants[3:]] == pytest.approx([1, 1], abs=0.15)
    assert not torch.equal(constants[3], constants[4])
    rng = np.random.default_rng(99)
    mean = layout.latents(state, rng.standard_normal((20_000, 12))).mean(axis=0)
    spread = layout.latents(state, rng.standard_normal((2_000, 12))).std(axis=0)
    assert np.abs((one.mapping.w_avg.numpy() - mean) / spread).max() < 0.06


def test_a_batched_mean_and_older_biases_are_taken(tmp_path):
    state = changed(conv1__activate__bias=torch.full((1, 8, 1, 1), 0.25))
    check_images(saved(tmp_path / "model.pt", {"g_ema": state, "latent_avg": MEAN[None]}), state)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({"g_ema": changed(conv1__noise__weight=None)}, "conv1.noise.weight is missing"),
        ({"g_ema": changed(input__input=None)}, "input.input is missing: this is not the layout"),
        ({"g_ema": changed(input__input=torch.zeros(1, 8, 7, 7))}, r"input.input has shape \[1, 8, 7, 7\]"),
        ({"g_ema": changed(convs__9__extra=torch.zeros(1))}, "does not know: convs.9.extra"),
        ({"g_ema": changed(convs__1__conv__weight=torch.zeros(1, 5, 8, 3, 3))}, "5 channels at 8 px"),
        (
            {"g_ema": changed(convs__0__conv__weight=torch.zeros(1, 8, 7, 3, 3))},
            r"b8.conv0.weight has shape \[8, 7, 3, 3\]",
        ),
        ({"g_ema": changed(noises__noise_2=torch.zeros(1, 1, 4, 4))}, "noises.noise_2 has shape"),
        (
            {"g_ema": changed(to_rgbs__0__upsample__kernel=torch.zeros(4, 4))},
            "to_rgbs.0.upsample.kernel is not the low-pass",
        ),
        (
            {"g_ema": changed(to_rgbs__0__bias=torch.full((1, 3, 1, 1), np.nan))},
            "b8.torgb.bias is not finite",
        ),
        ({"g_ema": changed(), "latent_avg": torch.zeros(5)}, r"latent_avg has shape \[5\]"),
        ({"g_ema": changed(), "latent_avg": "x"}, "latent_avg in the file is not a tensor"),
        ({"g_ema": changed(conv1__noise__weight=3)}, "conv1.noise.weight in g_ema is not a tensor"),
        (
            {"g_ema": changed(conv1__noise__weight=torch.zeros(1, device="meta"))},
            "it calls .*meta.*; nothing",
        ),
        (
            {"g_ema": changed(conv1__noise__weight=torch.zeros(1, dtype=torch.complex64))},
            "not one of real numbers",
        ),
        (
            {"g_ema": changed(conv1__noise__weight=torch.eye(2).to_sparse())},
            "_rebuild_sparse_tensor; nothing was executed",
        ),
        (
            {"g_ema": changed(style__1__weight=torch.zeros(1).expand(10**5, 10**5))},
            "repeats its 1 stored values",
        ),
        ({"g_ema": [1]}, "g_ema is a list"),
        ({"d": {}, "e": {}}, r"has no network g_ema \(it has d, e\)"),
        ({}, "it has nothing"),
        ([1, 2], "holds a list"),
    ],
    ids=lambda value: re.sub(r"\W+", " ", value) if isinstance(value, str) else "",
)
def test_other_content_is_refused_by_name(tmp_path, content, message):
    with pytest.raises(DataError, match=message) as caught:
        load_generator(saved(tmp_path / "model.pt", content))
    assert "model.pt" in caught.value.what
