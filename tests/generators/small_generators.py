"""Small generators whose every weight is random, biases and noise strengths too, so that no term can go
missing unseen.
"""

import torch

from generators.stylegan2 import Generator
from generators.stylegan2.config import parse_config


def small_generator(*, resolution=16, c_dim=0, layers=2, mapping=None, seed=7, **synthesis):
    config = {
        "z_dim": 12,
        "w_dim": 16,
        "c_dim": c_dim,
        "img_resolution": resolution,
        "mapping_kwargs": {"num_layers": layers, **(mapping or {})},
        "synthesis_kwargs": {"channel_base": 64, "channel_max": 8, **synthesis},
    }
    generator = Generator(parse_config(config, "test"))
    generator.initialise(seed)
    rng = torch.Generator().manual_seed(seed + 1)
    with torch.no_grad():
        for name, value in generator.named_parameters():
            if name.endswith(("bias", "noise_strength")):
                scale = 10 if name.startswith("mapping.fc") else 0.3
                value.add_(torch.randn(value.shape, generator=rng) * scale)
        generator.mapping.w_avg.normal_(generator=rng)
    return generator.eval().requires_grad_(False)
