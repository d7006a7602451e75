"""The reference design of StyleGAN2's synthesis, one image at a time, in plain torch: what one would write
who follows the papers and the official layout.

A weight per image (modulated, then demodulated) in a grouped convolution, doubling by zeros between the
samples and a padded low-pass, every step a new map. Architecture `skip`, constant noise.
"""

from __future__ import annotations

import math
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from generators.stylegan2.config import GeneratorConfig, SynthesisConfig
from generators.stylegan2.generator import Generator

OFFICIAL = SynthesisConfig(channel_base=32768, channel_max=512)
"""Channels of the official configurations for 256 px and more."""
LATENT = 512


def official_generator(resolution: int) -> Generator:
    """A generator with the official numbers of channels, its weights drawn: no trained one is at hand.

    Args:
        resolution: pixels of a side, a power of two.
    """
    config = GeneratorConfig(z_dim=LATENT, w_dim=LATENT, img_resolution=resolution, synthesis_kwargs=OFFICIAL)
    generator = Generator(config)
    generator.initialise(0)
    return generator.eval().requires_grad_(False)


def _low_pass(x: Tensor, kernel: Tensor, padding: list[int]) -> Tensor:
    count = x.shape[1]
    taps = (kernel * 4).flip(0, 1)[None, None].repeat(count, 1, 1, 1)
    return F.conv2d(F.pad(x, padding), taps, groups=count)


def _doubled(x: Tensor, kernel: Tensor) -> Tensor:
    count, channels, height, width = x.shape
    apart = F.pad(x.reshape(count, channels, height, 1, width, 1), [0, 1, 0, 0, 0, 1])
    return _low_pass(apart.reshape(count, channels, height * 2, width * 2), kernel, [2, 1, 2, 1])


def _modulated(x: Tensor, weight: Tensor, style: Tensor, kernel: Tensor | None, demodulate: bool) -> Tensor:
    count, (fan_out, fan_in, side, _) = len(x), weight.shape
    own = weight[None] * style[:, None, :, None, None]
    if demodulate:
        own = own * (own.square().sum(dim=(2, 3, 4)) + 1e-8).rsqrt()[:, :, None, None, None]
    x = x.reshape(1, count * fan_in, *x.shape[2:])
    if kernel is None:
        own = own.reshape(count * fan_out, fan_in, side, side)
        y = F.conv2d(x, own, padding=side // 2, groups=count)
    else:
        own = own.transpose(1, 2).reshape(count * fan_in, fan_out, side, side)
        y = _low_pass(F.conv_transpose2d(x, own, stride=2, groups=count), kernel, [1, 1, 1, 1])
    return y.reshape(count, fan_out, *y.shape[2:])


def _layer(layer: Any, x: Tensor, style: Tensor, kernel: Tensor | None) -> Tensor:
    x = _modulated(x, layer.weight, layer.affine(style), kernel, demodulate=True)
    x = x + layer.noise_const * layer.noise_strength
    return F.leaky_relu(x + layer.bias.reshape(1, -1, 1, 1), 0.2) * math.sqrt(2)


def reference_synthesis(generator: Generator, w: Tensor) -> Tensor:
    """Images of styles by the weights of a generator of architecture `skip`.

    Args:
        generator: whose weights are used.
        w: float32 [N, num_ws, w_dim].

    Returns:
        float32 [N, 3, H, W], nominally [-1, 1], RGB.
    """
    network: Any = generator.synthesis
    image: Tensor | None = None
    x = network.b4.const[None].repeat(len(w), 1, 1, 1)
    at = 0
    for resolution in network.resolutions:
        block = getattr(network, f"b{resolution}")
        if resolution > 4:
            x = _layer(block.conv0, x, w[:, at], block.resample_filter)
        x = _layer(block.conv1, x, w[:, at + block.num_conv - 1], None)
        style = block.torgb.affine(w[:, at + block.num_conv]) * block.torgb.weight_gain
        rgb = _modulated(x, block.torgb.weight, style, None, demodulate=False)
        rgb = rgb + block.torgb.bias.reshape(1, -1, 1, 1)
        image = rgb if image is None else _doubled(image, block.resample_filter) + rgb
        at += block.num_conv
    assert isinstance(image, torch.Tensor)
    return image
