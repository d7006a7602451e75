"""StyleGAN2: the reference implementation's own images as oracle, and the shapes of every architecture."""

from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from generators import load_generator
from generators.stylegan2 import Generator
from generators.stylegan2.config import parse_config
from generators.stylegan2.generator import build_generator
from generators.stylegan2.operations import fir_kernel, modulated_conv2d, upsample2
from manifests.errors import DataError, UsageError

FIXTURES = Path(__file__).parents[1] / "fixtures"
SMALL = {"z_dim": 16, "w_dim": 16, "img_resolution": 16}


@pytest.fixture(autouse=True)
def _one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def small(mapping: dict | None = None, **synthesis) -> Generator:
    values = {**SMALL, "mapping_kwargs": mapping or {"num_layers": 2}}
    values["c_dim"] = values["mapping_kwargs"].pop("c_dim", 0)
    values["synthesis_kwargs"] = {"channel_base": 128, "channel_max": 16, **synthesis}
    generator = Generator(parse_config(values, "test"))
    generator.initialise(7)
    return generator.eval().requires_grad_(False)


def test_starter_equals_the_reference_implementation():
    expected = np.load(FIXTURES / "starter64-expected.npz")
    generator = load_generator("starter64")
    w = generator.mapping(expected["z"]).numpy()
    assert w.shape == (8, 10, 128)
    assert np.abs(w - expected["w"][:, None]).max() < 1e-4
    assert np.abs(generator.synthesis(w).numpy() - expected["img"]).max() < 1e-4


def test_official_snapshot_equals_the_reference_implementation():
    expected = np.load(FIXTURES / "sg2-official-format" / "uncond64.npz")
    generator = load_generator(FIXTURES / "sg2-official-format" / "uncond64.pkl")
    w = generator.mapping(expected["z"], psi=0.7, cutoff=4).numpy()
    assert np.abs(w - expected["w"]).max() < 1e-4
    assert np.abs(generator.synthesis(expected["w"]).numpy() - expected["img"]).max() < 1e-4


def test_modulated_convolution_equals_one_weight_per_sample():
    rng = torch.Generator().manual_seed(0)
    x, weight, style = (torch.randn(*shape, generator=rng) for shape in ((3, 5, 8, 8), (4, 5, 3, 3), (3, 5)))
    per_sample = weight[None] * style[:, None, :, None, None]
    per_sample = per_sample / (per_sample.square().sum((2, 3, 4), keepdim=True) + 1e-8).sqrt()
    expected = torch.cat([F.conv2d(x[i : i + 1], per_sample[i], padding=1) for i in range(3)])
    assert torch.allclose(modulated_conv2d(x, weight, style), expected, atol=1e-5)


def test_upsampling_keeps_a_constant_and_doubles_the_size():
    y = upsample2(torch.ones(1, 2, 6, 6), fir_kernel([1, 3, 3, 1]))
    assert y.shape == (1, 2, 12, 12)
    assert torch.allclose(y[:, :, 2:-2, 2:-2], torch.ones(1, 2, 8, 8))


@pytest.mark.parametrize(
    ("mapping", "synthesis", "names"),
    [
        ({"num_layers": 8}, {}, {"mapping.fc7.weight", "synthesis.b8.torgb.weight"}),
        ({"num_layers": 2, "c_dim": 3}, {}, {"mapping.embed.weight", "mapping.embed.bias"}),
        ({"num_layers": 2}, {"architecture": "resnet"}, {"synthesis.b8.skip.weight"}),
        ({"num_layers": 2}, {"architecture": "orig", "conv_clamp": 256}, {"synthesis.b16.torgb.weight"}),
        (
            {"num_layers": 2, "layer_features": 24, "embed_features": 5, "c_dim": 2},
            {"num_fp16_res": 2},
            set(),
        ),
    ],
)
def test_every_architecture_runs_and_its_state_goes_round(mapping, synthesis, names):
    generator = small(dict(mapping), **synthesis)
    state = generator.state_dict()
    assert names <= set(state)
    assert ("synthesis.b8.torgb.weight" in state) == (synthesis.get("architecture", "skip") == "skip")
    z = torch.randn(3, 16, generator=torch.Generator().manual_seed(1))
    c = torch.eye(generator.c_dim).repeat(2, 1)[:3] if generator.c_dim else None
    image = generator(z, c)
    assert image.shape == (3, 3, 16, 16)
    assert image.dtype == torch.float32
    assert not image.requires_grad
    assert float(image.std()) > 0
    again = build_generator(generator.config, state, "test")
    assert torch.equal(again(z, c), image)


def test_class_changes_the_latent_and_is_needed():
    generator = small({"num_layers": 2, "c_dim": 2})
    z = np.ones((1, 16), np.float32)
    one, two = (generator.mapping(z, np.eye(2, dtype=np.float32)[k : k + 1]) for k in (0, 1))
    assert not torch.equal(one, two)
    with pytest.raises(UsageError, match="class-conditional"):
        generator.mapping(z)


def test_truncation_pulls_the_first_styles_to_the_mean():
    generator = load_generator("starter64")
    z = np.random.default_rng(0).standard_normal((2, 128), dtype=np.float32)
    full, cut = generator.mapping(z), generator.mapping(z, psi=0.5, cutoff=3)
    middle = generator.mapping.w_avg + 0.5 * (full - generator.mapping.w_avg)
    assert torch.allclose(cut[:, :3], middle[:, :3], atol=1e-6)
    assert torch.equal(cut[:, 3:], full[:, 3:])


def test_random_noise_comes_from_a_seed_and_from_nowhere_else():
    generator = small()
    with torch.no_grad():
        for name, value in generator.named_parameters():
            if name.endswith("noise_strength"):
                value.fill_(0.5)
    w = generator.mapping(np.random.default_rng(1).standard_normal((2, 16), dtype=np.float32))
    before = torch.random.get_rng_state()
    one, same = (generator.synthesis(w, "random", 5) for _ in range(2))
    assert torch.equal(one, same)
    assert not torch.equal(one, generator.synthesis(w, "random", 6))
    assert not torch.equal(one, generator.synthesis(w, "none"))
    pair = generator.synthesis(w, "random", [5, 9])
    assert torch.allclose(pair[:1], generator.synthesis(w[:1], "random", [5]), atol=1e-5)
    assert torch.equal(generator.synthesis(w, "random", torch.Generator().manual_seed(5)), one)
    assert torch.equal(before, torch.random.get_rng_state())
    with pytest.raises(UsageError, match="needs a seed"):
        generator.synthesis(w, "random")
    with pytest.raises(UsageError, match="not known"):
        generator.synthesis(w, "loud")


def test_initialisation_follows_its_seed():
    one, same = small(), small()
    assert all(
        torch.equal(a, b) for a, b in zip(one.state_dict().values(), same.state_dict().values(), strict=True)
    )
    assert float(one.mapping.fc0.weight.std()) == pytest.approx(100, rel=0.2)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda s: s.pop("synthesis.b4.const"), "synthesis.b4.const is missing"),
        (lambda s: s.update({"synthesis.b99.x": torch.zeros(1)}), "synthesis.b99.x is unknown"),
        (lambda s: s.update({"mapping.w_avg": torch.zeros(3)}), r"mapping.w_avg has shape \[3\], not \[16\]"),
        (
            lambda s: s.update({"mapping.w_avg": torch.full([16], float("nan"))}),
            "mapping.w_avg is not finite",
        ),
    ],
)
def test_a_state_that_does_not_fit_is_refused_by_name(change, message):
    generator = small()
    state = dict(generator.state_dict())
    change(state)
    with pytest.raises(DataError, match=message):
        build_generator(generator.config, state, "file.safetensors")


def test_wrong_shapes_are_usage_errors():
    generator = small()
    with pytest.raises(UsageError, match=r"z \[2, 3\]"):
        generator.mapping(np.zeros((2, 3), np.float32))
    with pytest.raises(UsageError, match=r"w \[2, 3, 16\]"):
        generator.synthesis(np.zeros((2, 3, 16), np.float32))
