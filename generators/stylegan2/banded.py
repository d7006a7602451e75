"""FIR resampling as products with banded matrices, for GPUs.

A low-pass of four taps over every channel is a depthwise convolution, which cuDNN computes at a hundredth of
the memory's speed where channels come last. As two matrix products, one for each axis, it is bound by memory,
and its gradients, also those of gradients, are such products too.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

_KEPT: dict[tuple[object, ...], tuple[Tensor, Tensor]] = {}
"""Matrices that were made, each with the kernel that it was made of, whose memory is its key."""
MOST_KEPT = 256


def use_matrices(x: Tensor) -> bool:
    """Whether filters of `x` are matrix products.

    Args:
        x: what is filtered.
    """
    return x.device.type == "cuda"


def banded(taps: Tensor, rows: int, columns: int, across: int, down: int, offset: int) -> Tensor:
    """The matrix M[o, i] = taps[across i + down o + offset], 0 beyond the taps: float32 [rows, columns].

    Args:
        taps: float32 [k].
        rows: length of the output.
        columns: length of the input.
        across: 1 for a convolution, -2 for one of stride 1 after inserting zeros.
        down: minus the stride of a convolution, 1 after inserting zeros.
        offset: the padding.
    """
    o, i = torch.arange(rows, device=taps.device), torch.arange(columns, device=taps.device)
    index = across * i[None] + down * o[:, None] + offset
    inside = (index >= 0) & (index < len(taps))
    return torch.where(inside, taps[index.clamp(0, len(taps) - 1)], taps.new_zeros(()))


@dataclass(frozen=True)
class _Filter:
    """gain: of both axes together. flipped: taps from last to first. how: `across`, `down`, `offset`."""

    gain: float
    flipped: bool
    how: tuple[int, int, int]

    def matrix(self, kernel: Tensor, axis: int, size: int, out: int, dtype: torch.dtype) -> Tensor:
        key = (kernel.data_ptr(), kernel._version, str(kernel.device), axis, size, out, dtype, self)
        kept = _KEPT.get(key)
        if kept is None:
            if len(_KEPT) >= MOST_KEPT:
                _KEPT.clear()
            with torch.no_grad(), torch.autocast(kernel.device.type, enabled=False):
                taps = kernel.detach().float().sum(dim=1 - axis) * self.gain**0.5
                made = banded(taps.flip(0) if self.flipped else taps, out, size, *self.how)
                kept = _KEPT[key] = (kernel, made.to(dtype))
        return kept[1]


def _filtered(x: Tensor, kernel: Tensor, out: tuple[int, int], by: _Filter) -> Tensor:
    count, channels, height, width = x.shape
    down, across = (
        by.matrix(kernel, axis, size, target, x.dtype)
        for axis, (size, target) in enumerate(zip((height, width), out, strict=True))
    )
    with torch.autocast(x.device.type, enabled=False):
        rows = x.permute(0, 2, 3, 1).reshape(count * height, width, channels)
        rows = torch.bmm(across.expand(len(rows), -1, -1), rows)
        whole = torch.bmm(down.expand(count, -1, -1), rows.reshape(count, height, out[1] * channels))
    return whole.view(count, *out, channels).permute(0, 3, 1, 2)


def convolved(
    x: Tensor,
    kernel: Tensor,
    *,
    gain: float = 1.0,
    padding: int = 0,
    stride: int = 1,
    flipped: bool = False,
) -> Tensor:
    """The correlation of every channel with a separable kernel, as `conv2d` computes it.

    Args:
        x: floating point [N, C, H, W].
        kernel: float32 [k, k], an outer product that sums to 1.
        gain: that the kernel is multiplied by.
        padding: zeros on every side.
        stride: of the output.
        flipped: the kernel is turned by 180 degrees.

    Returns:
        Of x's type, [N, C, (H + 2 padding - k) // stride + 1, ...], channels last in memory.
    """
    height, width = ((size + 2 * padding - len(kernel)) // stride + 1 for size in x.shape[-2:])
    return _filtered(x, kernel, (height, width), _Filter(gain, flipped, (1, -stride, padding)))


def doubled(x: Tensor, kernel: Tensor, *, gain: float = 1.0) -> Tensor:
    """Zeros between pixels, then every channel with a separable kernel, as `conv_transpose2d` with stride 2
    and padding 1 computes it.

    Args:
        x: floating point [N, C, H, W].
        kernel: float32 [4, 4], an outer product that sums to 1.
        gain: that the kernel is multiplied by.

    Returns:
        Of x's type, [N, C, 2 H, 2 W], channels last in memory.
    """
    height, width = (2 * size for size in x.shape[-2:])
    return _filtered(x, kernel, (height, width), _Filter(gain, False, (-2, 1, 1)))
