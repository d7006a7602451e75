"""The StyleGAN2(-ADA) discriminator. Karras et al., arXiv 1912.04958 (figure 7), 2006.06676.

State-dict names and shapes are the official ones (`b64.fromrgb.weight`, `b64.conv0.weight`, ...,
`b4.out.weight`).
"""

from __future__ import annotations

import math
from typing import Any

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor, nn

from generators.stylegan2.config import Architecture, MappingConfig
from generators.stylegan2.operations import (
    LRELU_GAIN,
    LRELU_SLOPE,
    EqualizedLinear,
    fir_kernel,
    unit_second_moment,
)
from generators.stylegan2.resampling import downsample2, downsample_conv2
from manifests.errors import UsageError
from manifests.registry import Params

RESNET_GAIN = math.sqrt(0.5)


class EpilogueConfig(Params):
    """The last block: images per group of the minibatch standard deviation, and its feature maps."""

    mbstd_group_size: int | None = Field(4, ge=1)
    mbstd_num_channels: int = Field(1, ge=0)


class DiscriminatorConfig(Params):
    """The constructor's arguments, in the official spelling. `cmap_dim` None: as many as channels at 4 x
    4.
    """

    c_dim: int = Field(0, ge=0)
    img_resolution: int = Field(ge=8, le=4096)
    img_channels: int = Field(3, ge=1)
    architecture: Architecture = "resnet"
    channel_base: int = Field(32768, ge=1)
    channel_max: int = Field(512, ge=1)
    num_fp16_res: int = Field(0, ge=0)
    conv_clamp: float | None = Field(None, gt=0)
    cmap_dim: int | None = Field(None, ge=1)
    mapping_kwargs: MappingConfig = MappingConfig()
    epilogue_kwargs: EpilogueConfig = EpilogueConfig()

    def channels(self, resolution: int) -> int:
        """Feature maps at `resolution`."""
        return min(self.channel_base // resolution, self.channel_max)

    @property
    def block_resolutions(self) -> tuple[int, ...]:
        """img_resolution, ..., 16, 8; the epilogue at 4 comes after them."""
        return tuple(2**k for k in range(self.img_resolution.bit_length() - 1, 2, -1))


class ConvLayer(nn.Module):
    """Equalised convolution (halving the size if `down`, low-pass first), with bias and leaky ReLU where
    `lrelu`.
    """

    resample_filter: Tensor

    def __init__(
        self,
        fan_in: int,
        fan_out: int,
        size: int,
        *,
        down: bool = False,
        lrelu: bool = True,
        clamp: float | None = None,
    ) -> None:
        super().__init__()
        self.down, self.lrelu, self.clamp = down, lrelu, clamp
        self.weight = nn.Parameter(torch.zeros(fan_out, fan_in, size, size))
        self.bias = nn.Parameter(torch.zeros(fan_out)) if lrelu else None
        self.register_buffer("resample_filter", fir_kernel((1.0, 3.0, 3.0, 1.0)))
        self.weight_gain = 1.0 / math.sqrt(fan_in * size * size)

    def initialise(self, rng: torch.Generator) -> None:
        """Draw the weight from N(0, 1)."""
        with torch.no_grad():
            self.weight.normal_(generator=rng)

    def forward(self, x: Tensor, gain: float = 1.0) -> Tensor:
        """[N, I, H, W] -> [N, O, H, W], or half that size with `down`."""
        if self.bias is not None:
            gain = gain * LRELU_GAIN
        weight = self.weight * (self.weight_gain * gain)  # a positive gain passes through the leaky ReLU
        bias = None if self.bias is None else self.bias * gain
        if self.down:
            x = downsample_conv2(x, weight, self.resample_filter, bias)
        else:
            x = F.conv2d(x, weight, bias, padding=weight.shape[-1] // 2)
        if bias is not None:
            x = F.leaky_relu(x, LRELU_SLOPE)
            gain = gain / LRELU_GAIN
        return x if self.clamp is None else x.clamp(-self.clamp * gain, self.clamp * gain)


class DiscriminatorBlock(nn.Module):
    """One resolution, halving it: `fromrgb` where due, `conv0`, `conv1`, and the residual branch `skip` of
    `resnet`.
    """

    resample_filter: Tensor

    def __init__(self, config: DiscriminatorConfig, resolution: int) -> None:
        super().__init__()
        here, below, clamp = config.channels(resolution), config.channels(resolution // 2), config.conv_clamp
        self.architecture = config.architecture
        self.register_buffer("resample_filter", fir_kernel((1.0, 3.0, 3.0, 1.0)))
        if resolution == config.img_resolution or config.architecture == "skip":
            self.fromrgb = ConvLayer(config.img_channels, here, 1, clamp=clamp)
        self.conv0 = ConvLayer(here, here, 3, clamp=clamp)
        self.conv1 = ConvLayer(here, below, 3, down=True, clamp=clamp)
        if config.architecture == "resnet":
            self.skip = ConvLayer(here, below, 1, down=True, lrelu=False)

    def forward(self, x: Tensor | None, image: Tensor | None) -> tuple[Tensor, Tensor | None]:
        """Features so far and image at this resolution -> features and image (`skip` only) at half of it."""
        if hasattr(self, "fromrgb"):
            assert image is not None
            seen = self.fromrgb(image)
            x = seen if x is None else x + seen
            image = downsample2(image, self.resample_filter) if self.architecture == "skip" else None
        assert x is not None
        if self.architecture == "resnet":
            return self.skip(x, RESNET_GAIN) + self.conv1(self.conv0(x), RESNET_GAIN), image
        return self.conv1(self.conv0(x)), image


def minibatch_deviation(x: Tensor, group_size: int | None, channels: int) -> Tensor:
    """Standard deviation over groups of the batch, as `channels` more feature maps: [N, C, H, W] -> [N, C +
    F, H, W].

    Progressive GAN (arXiv 1710.10196), section 3. A group holds the images i, i + N/G, i + 2N/G, ... as
    officially.

    Raises:
        UsageError: N is no multiple of the group size.
    """
    if channels == 0:
        return x
    n, c, h, w = x.shape
    size = min(group_size or n, n)
    if n % size:
        raise UsageError(
            f"batch of {n}", f"is no multiple of the {size} images of a group", "choose another batch size"
        )
    y = x.float().reshape(size, -1, channels, c // channels, h, w)
    y = (y - y.mean(dim=0)).square().mean(dim=0)
    y = (y + 1e-8).sqrt().mean(dim=(2, 3, 4))
    y = y.reshape(-1, channels, 1, 1).repeat(size, 1, h, w)
    return torch.cat([x, y.to(x.dtype)], dim=1)


class Epilogue(nn.Module):
    """4 x 4 to a score: minibatch deviation, `conv`, `fc`, `out`; projected on the class embedding where
    there is one.
    """

    def __init__(self, config: DiscriminatorConfig, cmap_dim: int) -> None:
        super().__init__()
        wide, kwargs = config.channels(4), config.epilogue_kwargs
        self.group_size, self.extra, self.cmap_dim = (
            kwargs.mbstd_group_size,
            kwargs.mbstd_num_channels,
            cmap_dim,
        )
        if config.architecture == "skip":
            self.fromrgb = ConvLayer(config.img_channels, wide, 1)
        self.conv = ConvLayer(wide + self.extra, wide, 3, clamp=config.conv_clamp)
        self.fc = EqualizedLinear(wide * 16, wide, lrelu=True)
        self.out = EqualizedLinear(wide, cmap_dim or 1)

    def forward(self, x: Tensor, image: Tensor | None, cmap: Tensor | None) -> Tensor:
        """[N, C, 4, 4] -> float32 [N, 1]."""
        if hasattr(self, "fromrgb"):
            x = x + self.fromrgb(image)
        x = self.conv(minibatch_deviation(x, self.group_size, self.extra))
        score = self.out(self.fc(x.flatten(1))).float()
        if cmap is None:
            return score
        return (score * cmap).sum(dim=1, keepdim=True) / math.sqrt(self.cmap_dim)


class ClassMapping(nn.Module):
    """The class, embedded, normalised and mapped: what the score is projected on (arXiv 1802.05637)."""

    def __init__(self, config: DiscriminatorConfig, cmap_dim: int) -> None:
        super().__init__()
        kwargs = config.mapping_kwargs
        self.num_layers = kwargs.num_layers
        embedded, hidden = kwargs.embed_features or cmap_dim, kwargs.layer_features or cmap_dim
        sizes = [embedded, *[hidden] * (kwargs.num_layers - 1), cmap_dim]
        self.embed = EqualizedLinear(config.c_dim, embedded)
        for k in range(kwargs.num_layers):
            self.add_module(
                f"fc{k}",
                EqualizedLinear(sizes[k], sizes[k + 1], lr_multiplier=kwargs.lr_multiplier, lrelu=True),
            )

    def forward(self, c: Tensor) -> Tensor:
        """float32 [N, c_dim] -> float32 [N, cmap_dim]."""
        x = unit_second_moment(self.embed(c))
        for k in range(self.num_layers):
            x = getattr(self, f"fc{k}")(x)
        return x


class Discriminator(nn.Module):
    """Images to realness. A new one has zero weights: call `initialise(seed)`, or load a state.

    While it grows, `fade` is below 1 and `faded_rgb` reads the image at half the resolution, as it did before
    growing.
    """

    def __init__(self, config: DiscriminatorConfig) -> None:
        super().__init__()
        self.config = config
        cmap_dim = (config.cmap_dim or config.channels(4)) if config.c_dim else 0
        self.fade = 1.0
        self.faded_rgb: ConvLayer | None = None
        for resolution in config.block_resolutions:
            self.add_module(f"b{resolution}", DiscriminatorBlock(config, resolution))
        self.b4 = Epilogue(config, cmap_dim)
        if config.c_dim:
            self.mapping = ClassMapping(config, cmap_dim)

    def initialise(self, seed: int) -> None:
        """Draw every weight from N(0, 1), divided by its learning-rate multiplier, from `seed`."""
        rng = torch.Generator().manual_seed(seed)
        for module in self.modules():
            draw: Any = getattr(module, "initialise", None)
            if module is not self and draw is not None:
                draw(rng)

    def forward(self, images: Tensor, c: Tensor | None = None) -> Tensor:
        """images: float32 [N, 3, H, W] in [-1, 1]; c: float32 [N, c_dim] -> score: float32 [N, 1], high for
        real.

        Raises:
            UsageError: c is missing, or the batch does not split into groups.
        """
        if self.config.c_dim and c is None:
            raise UsageError(
                "c", "this discriminator is class-conditional", f"give c as float32 [N, {self.config.c_dim}]"
            )
        x: Tensor | None = None
        image: Tensor | None = images
        for index, resolution in enumerate(self.config.block_resolutions):
            block: Any = getattr(self, f"b{resolution}")
            x, image = block(x, image)
            if index == 0 and self.faded_rgb is not None and self.fade < 1:
                x = self.faded_rgb(downsample2(images, block.resample_filter)).lerp(x, self.fade)
        assert x is not None
        return self.b4(x, image, self.mapping(c) if self.config.c_dim else None)
