"""Halving the size of feature maps with the FIR low-pass of StyleGAN2 (arXiv 1912.04958, appendix B)."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from generators.stylegan2.banded import convolved, use_matrices


def _low_pass(x: Tensor, kernel: Tensor, padding: int, stride: int = 1) -> Tensor:
    """Depthwise, in float32 also under autocast: the gradient of a depthwise bfloat16 convolution is many
    times slower on a CPU.
    """
    if use_matrices(x):
        return convolved(x, kernel, padding=padding, stride=stride)
    channels = x.shape[1]
    with torch.autocast(x.device.type, enabled=False):
        weight = kernel.float().expand(channels, 1, *kernel.shape)
        return F.conv2d(x.float(), weight, padding=padding, stride=stride, groups=channels).to(x.dtype)


def downsample2(x: Tensor, kernel: Tensor) -> Tensor:
    """Low-pass, then every second pixel: [N, C, H, W] -> [N, C, H/2, W/2]; kernel: float32 [4, 4], sum 1."""
    return _low_pass(x, kernel, padding=1, stride=2)


def downsample_conv2(x: Tensor, weight: Tensor, kernel: Tensor, bias: Tensor | None = None) -> Tensor:
    """Low-pass, then a stride-2 convolution with a 1 x 1 or 3 x 3 weight: [N, I, H, W] -> [N, O, H/2,
    W/2].
    """
    if weight.shape[-1] == 1:
        return F.conv2d(downsample2(x, kernel), weight, bias)
    return F.conv2d(_low_pass(x, kernel, padding=2), weight, bias, stride=2)
