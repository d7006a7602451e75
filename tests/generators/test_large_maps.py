"""Large maps: channels last, maps overwritten and weights kept give the picture of the reference design."""

import pytest
import torch

from benchmarks.peers.reference_synthesis import official_generator, reference_synthesis
from generators import load_generator
from generators.sampling import rows_of
from generators.stylegan2.config import GeneratorConfig, SynthesisConfig
from generators.stylegan2.generator import Generator
from generators.stylegan2.synthesis import CHANNELS_LAST_ABOVE


@pytest.fixture
def large() -> Generator:
    channels = SynthesisConfig(channel_base=10240, channel_max=80)
    config = GeneratorConfig(z_dim=8, w_dim=8, img_resolution=128, synthesis_kwargs=channels)
    assert config.largest_map > CHANNELS_LAST_ABOVE
    generator = Generator(config)
    generator.initialise(3)
    with torch.no_grad():
        for name, one in generator.named_parameters():
            if name.endswith("noise_strength"):
                one.fill_(0.2)
    return generator.eval().requires_grad_(False)


@pytest.mark.parametrize("count", [1, 2])
def test_pictures_are_those_of_the_reference_design(large: Generator, count: int):
    w = large.mapping(torch.randn(count, 8, generator=torch.Generator().manual_seed(1)))
    with torch.no_grad():
        fast, again = large.synthesis(w), large.synthesis(w)
        plain = reference_synthesis(large, w)
    assert torch.equal(fast, again), "what is kept or overwritten changes no later picture"
    assert torch.allclose(fast, plain, atol=1e-4 * float(plain.std()))
    assert torch.allclose(fast, large.synthesis(w), atol=1e-4 * float(plain.std())), "as with gradients"


def test_a_changed_weight_is_noticed(large: Generator):
    w = large.mapping(torch.randn(1, 8, generator=torch.Generator().manual_seed(2)))
    with torch.no_grad():
        before = large.synthesis(w)
        large.synthesis.get_parameter("b64.conv0.weight").mul_(-1)
        large.synthesis.get_parameter("b128.conv1.weight")[:4] += 1
        after = large.synthesis(w)
        assert not torch.allclose(before, after, atol=1e-2)
        assert torch.allclose(after, reference_synthesis(large, w), atol=1e-3)


def test_the_rows_follow_from_the_config():
    assert rows_of(load_generator("starter64")) == rows_of(load_generator("balanced128")) == 16
    assert rows_of(official_generator(256)) == 1
