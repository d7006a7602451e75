"""Half precision in the highest resolutions: near float32, clamped, and no change where it is not asked
for.
"""

import hashlib

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from generators import load_generator
from generators.stylegan2 import precision
from generators.stylegan2.operations import fir_kernel, modulated_conv2d
from manifests.errors import UsageError
from tests.generators.small_generators import small_generator

# Largest and mean absolute difference from float32, in units of the images' standard deviation.
TOLERANCE = {
    ("starter64", "fp16"): (0.1, 0.004),
    ("starter64", "bf16"): (0.5, 0.025),
    ("small", "fp16"): (0.02, 0.002),
    ("small", "bf16"): (0.12, 0.015),
}
TYPES = {"fp16": torch.float16, "bf16": torch.bfloat16}


@pytest.fixture(autouse=True)
def _one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def seen_types(generator, monkeypatch, **kwargs):
    """The type that each block's features leave in, by resolution."""
    found = {}
    for resolution in generator.synthesis.resolutions:
        block = getattr(generator.synthesis, f"b{resolution}")
        block.register_forward_hook(
            lambda _, __, out, r=resolution: found.__setitem__(r, (out[0].dtype, out[1]))
        )
    w = np.random.default_rng(0).standard_normal((2, 16), dtype=np.float32)
    generator.synthesis(w, **kwargs)
    assert all(image is None or image.dtype == torch.float32 for _, image in found.values())
    return {resolution: dtype for resolution, (dtype, _) in found.items()}


@pytest.mark.parametrize("name", ["fp16", "bf16"])
@pytest.mark.parametrize("which", ["starter64", "conditional resnet", "orig"])
def test_images_stay_near_those_of_float32(name, which):
    largest, mean = TOLERANCE["starter64" if which == "starter64" else "small", name]
    if which == "starter64":
        generator = load_generator("starter64")
    else:
        generator = small_generator(
            resolution=32, c_dim=3, layers=8, architecture=which.split()[-1], num_fp16_res=2
        )
    rng = np.random.default_rng(1)
    z = rng.standard_normal((2, generator.z_dim), dtype=np.float32)
    c = np.eye(3, dtype=np.float32)[[0, 2]] if generator.c_dim else None
    exact, half = generator(z, c), generator(z, c, precision=name)
    apart = (half - exact).abs() / exact.std()
    assert half.dtype == torch.float32
    assert 0 < float(apart.max()) < largest
    assert float(apart.mean()) < mean


@pytest.mark.parametrize("architecture", ["skip", "resnet", "orig"])
def test_only_the_highest_resolutions_change_type(architecture, monkeypatch):
    for count, halves in ((1, {64}), (2, {32, 64}), (0, {8, 16, 32, 64}), (9, {8, 16, 32, 64})):
        generator = small_generator(resolution=64, architecture=architecture, num_fp16_res=count)
        found = seen_types(generator, monkeypatch, precision="bf16")
        assert {r for r, dtype in found.items() if dtype == torch.bfloat16} == halves
        assert set(seen_types(generator, monkeypatch).values()) == {torch.float32}


def test_float32_is_the_default_and_the_same_bytes():
    generator = small_generator(num_fp16_res=3, conv_clamp=256)
    w = np.random.default_rng(2).standard_normal((2, 16), dtype=np.float32)
    digests = {
        hashlib.sha256(image.numpy().tobytes()).hexdigest()
        for image in (generator.synthesis(w), generator.synthesis(w, precision="fp32"))
    }
    assert len(digests) == 1
    plain = small_generator(num_fp16_res=0, conv_clamp=256)
    assert torch.equal(plain.synthesis(w), generator.synthesis(w))


@pytest.mark.parametrize(
    ("name", "clamp", "limit"),
    [("fp16", None, 256.0), ("fp16", 3.0, 3.0), ("bf16", 3.0, 3.0), ("bf16", None, float("inf"))],
)
@pytest.mark.parametrize("architecture", ["skip", "resnet"])
def test_large_activations_are_clamped(name, clamp, limit, architecture):
    generator = small_generator(resolution=32, architecture=architecture, conv_clamp=clamp, num_fp16_res=2)
    with torch.no_grad():
        for conv in ("conv0", "conv1"):
            getattr(generator.synthesis.b16, conv).bias.fill_(3e5)
            getattr(generator.synthesis.b8, conv).bias.fill_(
                3e5
            )  # a float32 block: enters the next one beyond float16
    seen = []
    for resolution in (16, 32):
        block = getattr(generator.synthesis, f"b{resolution}")
        for layer in (block.conv0, block.conv1):
            layer.register_forward_hook(lambda _, __, out: seen.append(out))
    image = generator.synthesis(
        np.random.default_rng(0).standard_normal((2, 16), dtype=np.float32), precision=name
    )
    assert image.isfinite().all()
    assert len(seen) == 4
    assert all(x.dtype == TYPES[name] and x.isfinite().all() and float(x.abs().max()) <= limit for x in seen)
    assert float(seen[0].max()) == limit or (limit == float("inf") and float(seen[0].max()) > 256)


def test_large_styles_and_weights_do_not_overflow():
    rng = torch.Generator().manual_seed(0)
    x = torch.randn(2, 16, 8, 8, generator=rng).mul(60).clamp(-256, 256)
    weight, style = torch.randn(6, 16, 3, 3, generator=rng) * 5e4, torch.randn(2, 16, generator=rng) * 5e4
    for up in (None, fir_kernel([1, 3, 3, 1])):
        exact = modulated_conv2d(x, weight, style, up_kernel=up)
        half = modulated_conv2d(x.half(), weight, style, up_kernel=up)
        assert half.dtype == torch.float16
        assert float((half.float() - exact).abs().max()) < 0.005 * float(exact.abs().max())
    exact = modulated_conv2d(x, weight, style, demodulate=False)
    half = modulated_conv2d(x.half(), weight, style, demodulate=False)
    assert half.dtype == torch.float32
    assert float(exact.abs().max()) > 1e9
    assert float((half - exact).abs().max()) < 0.005 * float(exact.abs().max())
    assert torch.equal(
        modulated_conv2d(x.half(), weight, 0 * style), torch.zeros(2, 6, 8, 8, dtype=torch.float16)
    )


def test_noise_stays_half():
    generator = small_generator(num_fp16_res=1)
    w = np.random.default_rng(2).standard_normal((2, 16), dtype=np.float32)
    one = generator.synthesis(w, "random", [1, 2], "bf16")
    assert torch.equal(one, generator.synthesis(w, "random", [1, 2], precision="bf16"))
    assert not torch.equal(one, generator.synthesis(w, "none", precision="bf16"))


def test_unknown_and_unsupported_precisions_are_usage_errors(monkeypatch):
    generator = small_generator()
    w = np.zeros((1, 16), np.float32)
    with pytest.raises(UsageError, match="did you mean fp16"):
        generator.synthesis(w, precision="fp61")
    precision._refusal.cache_clear()
    real = F.conv_transpose2d

    def without_half(x, *args, **kwargs):
        if x.dtype == torch.float16:
            raise RuntimeError("not implemented for 'Half'")
        return real(x, *args, **kwargs)

    monkeypatch.setattr(F, "conv_transpose2d", without_half)
    with pytest.raises(UsageError, match="torch cannot compute it on cpu") as caught:
        generator.synthesis(w, precision="fp16")
    assert "fp32" in caught.value.fix
    generator.synthesis(w, precision="bf16")
    precision._refusal.cache_clear()
