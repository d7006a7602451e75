"""The arithmetic of StyleGAN2: equalised layers, modulated convolution, FIR resampling.

Sources: Karras et al. 2019 (arXiv 1812.04948), 2020 (arXiv 1912.04958: section 2.2, equations 1-3, and
appendix B), 2020 (arXiv 2006.06676), 2018 (arXiv 1710.10196: equalised learning rate).
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from generators.stylegan2.banded import convolved, doubled, use_matrices

LRELU_SLOPE = 0.2
LRELU_GAIN = math.sqrt(2.0)
TINY = 1e-30


def unit_second_moment(x: Tensor) -> Tensor:
    """Scale rows to mean square 1: x / sqrt(mean(x^2) + 1e-8), over dimension 1."""
    return x * (x.square().mean(dim=1, keepdim=True) + 1e-8).rsqrt()


def fir_kernel(taps: Sequence[float]) -> Tensor:
    """The separable 2-D low-pass of 1-D `taps`, summing to 1: float32 [len(taps), len(taps)]."""
    line = np.array(taps, np.float32)
    kernel = np.outer(line, line)
    return torch.tensor(
        kernel / kernel.sum()
    )  # arithmetic on the device `meta` would import torch's compiler, seconds of work


def _depthwise(kernel: Tensor, like: Tensor, gain: float) -> Tensor:
    return (kernel * gain).to(like.dtype).expand(like.shape[1], 1, *kernel.shape)


def upsample2(x: Tensor, kernel: Tensor) -> Tensor:
    """Double the size by zero insertion and low-pass: [N, C, H, W] -> [N, C, 2H, 2W].

    The gain is 4 (the zeros take away three quarters of the mass); kernel: float32 [4, 4].
    """
    if use_matrices(x):
        return doubled(x, kernel, gain=4.0)
    return F.conv_transpose2d(x, _depthwise(kernel, x, 4.0), stride=2, padding=1, groups=x.shape[1])


def upsample_conv2(x: Tensor, weight: Tensor, kernel: Tensor) -> Tensor:
    """Stride-2 transposed convolution with a 3 x 3 weight, then low-pass of gain 4: [N, I, H, W] -> [N, O,
    2H, 2W].
    """
    y = F.conv_transpose2d(x, weight.transpose(0, 1), stride=2)
    if use_matrices(y):
        return convolved(y, kernel, gain=4.0, padding=1, flipped=True)
    return F.conv2d(y, _depthwise(kernel.flip(0, 1), y, 4.0), padding=1, groups=y.shape[1])


def in_place(x: Tensor, other: Tensor) -> bool:
    """Whether x, which nobody else reads, can take the result of a sum or product with `other`: no gradient
    goes through it, and it has the result's type.

    A large map that is written anew costs the processor several times what the arithmetic does.
    """
    return not torch.is_grad_enabled() and x.dtype == other.dtype


def modulated_conv2d(
    x: Tensor,
    weight: Tensor,
    style: Tensor,
    *,
    demodulate: bool = True,
    up_kernel: Tensor | None = None,
    consume: bool = False,
    squares: Tensor | None = None,
) -> Tensor:
    """Convolution whose weight is scaled per sample by `style` and, if asked, demodulated.

    w' = s_i w_ijk and w'' = w' / sqrt(sum_ik w'^2 + 1e-8) (arXiv 1912.04958, equations 1 and 3). Instead of
    one weight per sample, the input is scaled by s and the output by the demodulation factor: the same sum,
    one dense convolution.

    Where x is float16 (see `generators.stylegan2.precision`), weight and style are first divided by their
    largest magnitudes, so that no sum of products leaves its range, which bfloat16 does not need (arXiv
    2006.06676, appendix). Demodulation takes any such factor away; without it the factor is put back in
    float32.

    Args:
        x: float32, or half precision, [N, I, H, W].
        weight: float32 [O, I, k, k], k odd.
        style: float32 [N, I].
        demodulate: bring the expected variance of the output back to 1.
        up_kernel: low-pass float32 [4, 4]: double the size as well (k must be 3).
        consume: nobody reads x afterwards, so that it may be overwritten where no gradient is wanted.
        squares: of `squared_sums`, where they are known.

    Returns:
        [N, O, H, W], or [N, O, 2H, 2W] with `up_kernel`; of x's dtype if demodulated, else float32.
    """
    if x.dtype == torch.float16:
        return _half_modulated_conv2d(x, weight, style, demodulate, up_kernel)
    small, scale = weight.to(x.dtype), style.to(x.dtype)[:, :, None, None]
    x = x.mul_(scale) if consume and in_place(x, scale) else x * scale
    y = (
        F.conv2d(x, small, padding=small.shape[-1] // 2)
        if up_kernel is None
        else upsample_conv2(x, small, up_kernel)
    )
    if not demodulate:
        return y.float()
    known = squared_sums(weight) if squares is None else squares
    factor = _demodulation(known, style).to(y.dtype)[:, :, None, None]
    return y.mul_(factor) if in_place(y, factor) else y * factor


def squared_sums(weight: Tensor) -> Tensor:
    """sum_k w_ijk^2 of a weight [O, I, k, k], which demodulation weighs by style: [O, I]."""
    return weight.square().sum(dim=(2, 3))


def _demodulation(squares: Tensor, style: Tensor) -> Tensor:
    """1 / sqrt(sum_ik (s_i w_ijk)^2 + 1e-8): float32 [N, O]."""
    return (style.square() @ squares.t() + 1e-8).rsqrt()


def _half_modulated_conv2d(
    x: Tensor, weight: Tensor, style: Tensor, demodulate: bool, up_kernel: Tensor | None
) -> Tensor:
    fan_in = math.sqrt(weight[0].numel())
    largest_weight = weight.abs().amax(dim=(1, 2, 3), keepdim=True).clamp_min(TINY) * fan_in
    largest_style = style.abs().amax(dim=1, keepdim=True).clamp_min(TINY)
    weight, style = weight / largest_weight, style / largest_style
    x, small = x * style.to(x.dtype)[:, :, None, None], weight.to(x.dtype)
    y = (
        F.conv2d(x, small, padding=small.shape[-1] // 2)
        if up_kernel is None
        else upsample_conv2(x, small, up_kernel)
    )
    if demodulate:
        return y * _demodulation(squared_sums(weight), style).to(y.dtype)[:, :, None, None]
    return y.float() * (largest_style * largest_weight.view(1, -1))[:, :, None, None]


def activate(x: Tensor, bias: Tensor, *, gain: float = 1.0, clamp: float | None = None) -> Tensor:
    """Add the bias, leaky ReLU 0.2 of gain sqrt(2), times `gain`, clamped to +-`clamp` * `gain`: [N, C,
    ...].
    """
    bias = bias.view(1, -1, *[1] * (x.ndim - 2))
    x = x.add_(bias) if in_place(x, bias) else x + bias
    if torch.is_grad_enabled():
        x = F.leaky_relu(x, LRELU_SLOPE) * (LRELU_GAIN * gain)
    else:  # the same, in place
        x = F.leaky_relu_(x, LRELU_SLOPE).mul_(LRELU_GAIN * gain)
    return x if clamp is None else x.clamp(-clamp * gain, clamp * gain)


class EqualizedLinear(nn.Module):
    """Fully connected layer with equalised learning rate: y = x (W m / sqrt(fan_in))^T + b m.

    Args:
        fan_in: size of the input.
        fan_out: size of the output.
        lr_multiplier: m; weights are stored divided by it.
        bias_init: the bias' first value (before division by m).
        lrelu: leaky ReLU with gain sqrt(2) after it.
    """

    def __init__(
        self,
        fan_in: int,
        fan_out: int,
        *,
        lr_multiplier: float = 1.0,
        bias_init: float = 0.0,
        lrelu: bool = False,
    ) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(fan_out, fan_in))
        self.bias = nn.Parameter(torch.full([fan_out], bias_init))
        self.weight_gain = lr_multiplier / math.sqrt(fan_in)
        self.lr_multiplier = lr_multiplier
        self.lrelu = lrelu

    def initialise(self, rng: torch.Generator) -> None:
        """Draw the weights from N(0, 1 / m^2)."""
        with torch.no_grad():
            self.weight.normal_(generator=rng).div_(self.lr_multiplier)

    def forward(self, x: Tensor) -> Tensor:
        """[N, fan_in] -> [N, fan_out]."""
        y = x @ (self.weight * self.weight_gain).t()
        bias = self.bias * self.lr_multiplier
        return activate(y, bias) if self.lrelu else y + bias
