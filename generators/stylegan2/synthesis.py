"""The synthesis network: styles to an image. Karras et al., arXiv 1912.04958 (figures 2 and 7),
2006.06676.
"""

from __future__ import annotations

import math

import numpy.typing as npt
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from generators.stylegan2.config import GeneratorConfig, SynthesisConfig
from generators.stylegan2.noise import NoiseSeed, NoiseSource, noise_source
from generators.stylegan2.operations import (
    EqualizedLinear,
    activate,
    fir_kernel,
    in_place,
    modulated_conv2d,
    upsample2,
)
from generators.stylegan2.precision import HALF_CLAMP, Precision, half_resolutions, half_type
from generators.stylegan2.prepared import Prepared, channels_last
from manifests.errors import UsageError

RESNET_GAIN = math.sqrt(0.5)
CHANNELS_LAST_ABOVE = 4 << 20
"""Bytes of an image's largest map (float32) above which images are drawn with channels last in memory: on a
CPU, transposed convolutions and low-passes of official sizes are faster so (`python -m benchmarks.peers
--only generation-256`).
"""


def _limit(conv_clamp: float | None, x: Tensor) -> float | None:
    """The bound on activations: the config's, or that of float16 where the config has none. bfloat16 has
    float32's range, and a bound costs a training a tenth of its time.
    """
    return HALF_CLAMP if conv_clamp is None and x.dtype == torch.float16 else conv_clamp


class SynthesisLayer(nn.Module):
    """Modulated, demodulated 3 x 3 convolution (doubling the size if `up`), noise, bias, leaky ReLU.

    The weight is not scaled by 1/sqrt(fan_in): demodulation takes any such factor away. x in half precision
    stays so, and is clamped.
    """

    noise_const: Tensor
    resample_filter: Tensor

    def __init__(
        self, config: SynthesisConfig, fan_in: int, fan_out: int, w_dim: int, resolution: int, up: bool
    ) -> None:
        super().__init__()
        self.up, self.use_noise, self.conv_clamp = up, config.use_noise, config.conv_clamp
        self.affine = EqualizedLinear(w_dim, fan_in, bias_init=1.0)
        self.weight = nn.Parameter(torch.zeros(fan_out, fan_in, 3, 3))
        self.prepared = Prepared()
        self.bias = nn.Parameter(torch.zeros(fan_out))
        self.register_buffer("resample_filter", fir_kernel(config.resample_filter))
        if config.use_noise:
            self.register_buffer("noise_const", torch.zeros(resolution, resolution))
            self.noise_strength = nn.Parameter(torch.zeros([]))

    def initialise(self, rng: torch.Generator) -> None:
        """Draw weight and constant noise from N(0, 1)."""
        with torch.no_grad():
            self.weight.normal_(generator=rng)
            if self.use_noise:
                self.noise_const.normal_(generator=rng)

    def forward(
        self, x: Tensor, w: Tensor, noise: NoiseSource, gain: float = 1.0, consume: bool = True
    ) -> Tensor:
        """x: [N, I, H, W], w: [N, w_dim] -> [N, O, H, W] or twice that size. `consume`: nobody reads x
        afterwards.
        """
        up_kernel = self.resample_filter if self.up else None
        weight, squares = self.prepared.of(self.weight, channels_last(x), self.up)
        x = modulated_conv2d(x, weight, self.affine(w), up_kernel=up_kernel, consume=consume, squares=squares)
        if self.use_noise:
            added = noise(self.noise_const)
            if added is not None:
                added = (added * self.noise_strength).to(x.dtype)
                x = x.add_(added) if in_place(x, added) else x + added
        return activate(x, self.bias.to(x.dtype), gain=gain, clamp=_limit(self.conv_clamp, x))


class ToRGBLayer(nn.Module):
    """Modulated 1 x 1 convolution to image channels, not demodulated; its styles carry 1/sqrt(fan_in)."""

    def __init__(self, config: SynthesisConfig, fan_in: int, channels: int, w_dim: int) -> None:
        super().__init__()
        self.conv_clamp = config.conv_clamp
        self.affine = EqualizedLinear(w_dim, fan_in, bias_init=1.0)
        self.weight = nn.Parameter(torch.zeros(channels, fan_in, 1, 1))
        self.bias = nn.Parameter(torch.zeros(channels))
        self.weight_gain = 1.0 / math.sqrt(fan_in)

    def initialise(self, rng: torch.Generator) -> None:
        """Draw the weight from N(0, 1)."""
        with torch.no_grad():
            self.weight.normal_(generator=rng)

    def forward(self, x: Tensor, w: Tensor) -> Tensor:
        """x: [N, I, H, W] in any precision, w: [N, w_dim] -> float32 [N, channels, H, W]."""
        limit = _limit(self.conv_clamp, x)
        style = self.affine(w) * self.weight_gain
        if len(w) == 1 and channels_last(x) and x.dtype == torch.float32:  # without another map of x's size
            y = F.conv2d(x, self.weight * style[:, :, None, None])
        else:
            y = modulated_conv2d(x, self.weight, style, demodulate=False)
        y = y + self.bias[None, :, None, None]
        return y if limit is None else y.clamp(-limit, limit)


class UpsampleSkip(nn.Module):
    """The residual branch of a `resnet` block: equalised 1 x 1 convolution without bias, then doubling."""

    resample_filter: Tensor

    def __init__(self, config: SynthesisConfig, fan_in: int, fan_out: int) -> None:
        super().__init__()
        self.conv_clamp = config.conv_clamp
        self.weight = nn.Parameter(torch.zeros(fan_out, fan_in, 1, 1))
        self.register_buffer("resample_filter", fir_kernel(config.resample_filter))
        self.weight_gain = 1.0 / math.sqrt(fan_in)

    def initialise(self, rng: torch.Generator) -> None:
        """Draw the weight from N(0, 1)."""
        with torch.no_grad():
            self.weight.normal_(generator=rng)

    def forward(self, x: Tensor) -> Tensor:
        """[N, I, H, W] -> [N, O, 2H, 2W], times sqrt(1/2)."""
        weight = (self.weight * self.weight_gain).to(x.dtype)
        y = upsample2(F.conv2d(x, weight), self.resample_filter) * RESNET_GAIN
        limit = _limit(self.conv_clamp, x)
        return y if limit is None else y.clamp(-limit * RESNET_GAIN, limit * RESNET_GAIN)


class SynthesisBlock(nn.Module):
    """One resolution: the constant (at 4 x 4) or `conv0` with doubling, then `conv1`, then `torgb` where
    due.
    """

    resample_filter: Tensor

    def __init__(self, config: GeneratorConfig, resolution: int) -> None:
        super().__init__()
        kwargs, fan_out = config.synthesis_kwargs, config.channels(resolution)
        first, last = resolution == 4, resolution == config.img_resolution
        self.architecture = kwargs.architecture
        self.channels_last = config.largest_map > CHANNELS_LAST_ABOVE
        self.register_buffer("resample_filter", fir_kernel(kwargs.resample_filter))
        if first:
            self.const = nn.Parameter(torch.zeros(fan_out, resolution, resolution))
        else:
            fan_in = config.channels(resolution // 2)
            self.conv0 = SynthesisLayer(kwargs, fan_in, fan_out, config.w_dim, resolution, up=True)
            if kwargs.architecture == "resnet":
                self.skip = UpsampleSkip(kwargs, fan_in, fan_out)
        self.conv1 = SynthesisLayer(kwargs, fan_out, fan_out, config.w_dim, resolution, up=False)
        if last or kwargs.architecture == "skip":
            self.torgb = ToRGBLayer(kwargs, fan_out, config.img_channels, config.w_dim)
        self.num_conv = 1 if first else 2

    def initialise(self, rng: torch.Generator) -> None:
        """Draw the constant, if any, from N(0, 1); the layers draw their own."""
        if self.num_conv == 1:
            with torch.no_grad():
                self.const.normal_(generator=rng)

    def forward(
        self,
        x: Tensor | None,
        image: Tensor | None,
        ws: Tensor,
        noise: NoiseSource,
        dtype: torch.dtype | None = None,
    ) -> tuple[Tensor, Tensor | None]:
        """Features and image so far, ws: [N, num_conv + 1, w_dim] -> features and image at this resolution.

        Features are brought to `dtype` (None: as they come), the image stays in float32.
        """
        if x is not None and dtype is not None and x.dtype != dtype:
            if dtype == torch.float16:  # the most that a clamped sum can reach
                bound = (self.conv1.conv_clamp or HALF_CLAMP) * 2 * RESNET_GAIN
                x = x.clamp(-bound, bound)
            x = x.to(dtype)
        if x is None:
            const = self.const.unsqueeze(0).expand(len(ws), -1, -1, -1)
            if self.channels_last and not torch.is_grad_enabled():
                const = const.contiguous(memory_format=torch.channels_last)
            x = self.conv1(const, ws[:, 0], noise, consume=False)
        elif self.architecture == "resnet":
            short = self.skip(x)
            x = short + self.conv1(self.conv0(x, ws[:, 0], noise), ws[:, 1], noise, RESNET_GAIN)
        else:
            x = self.conv1(self.conv0(x, ws[:, 0], noise), ws[:, 1], noise)
        if image is not None:
            image = upsample2(image, self.resample_filter)
        if hasattr(self, "torgb"):
            rgb = self.torgb(x, ws[:, self.num_conv])
            image = rgb if image is None else image + rgb
        return x, image


class SynthesisNetwork(nn.Module):
    """Blocks `b4`, `b8`, ..., one per resolution."""

    def __init__(self, config: GeneratorConfig) -> None:
        super().__init__()
        self.w_dim, self.num_ws, self.resolutions = config.w_dim, config.num_ws, config.block_resolutions
        self.half_resolutions = half_resolutions(config)
        for resolution in self.resolutions:
            self.add_module(f"b{resolution}", SynthesisBlock(config, resolution))

    def forward(
        self,
        w: Tensor | npt.NDArray,
        noise_mode: str = "const",
        noise: NoiseSeed = None,
        precision: Precision = "fp32",
    ) -> Tensor:
        """Styles to images.

        Args:
            w: float32 [N, num_ws, w_dim], or [N, w_dim] for one style in all layers.
            noise_mode: `const`, `random` or `none`.
            noise: seed of `random`; see `generators.stylegan2.noise`.
            precision: `fp32`, or `fp16` or `bf16` in the highest resolutions; see
                `generators.stylegan2.precision`.

        Returns:
            images: float32 [N, 3, H, W], nominally [-1, 1], RGB; not clipped.

        Raises:
            UsageError: w of another shape; unknown noise mode; `random` without a seed; unknown precision, or
                one that the device does not have.
        """
        w = torch.as_tensor(w, dtype=torch.float32, device=self.get_parameter("b4.const").device)
        if w.ndim == 2:
            w = w.unsqueeze(1).expand(-1, self.num_ws, -1)
        if w.ndim != 3 or w.shape[1:] != (self.num_ws, self.w_dim):
            raise UsageError(
                f"w {list(w.shape)}", "does not fit this generator", f"give [N, {self.num_ws}, {self.w_dim}]"
            )
        source, half = noise_source(noise_mode, noise, len(w)), half_type(precision, w.device)
        x: Tensor | None = None
        image: Tensor | None = None
        at = 0
        for resolution in self.resolutions:
            block = getattr(self, f"b{resolution}")
            dtype = half if resolution in self.half_resolutions else None
            x, image = block(x, image, w[:, at : at + block.num_conv + 1], source, dtype)
            at += block.num_conv
        assert image is not None
        return image
