"""Filters as matrix products are the convolutions that they stand for, with their gradients."""

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from generators.stylegan2 import operations, resampling
from generators.stylegan2.banded import convolved, doubled

TAPS = torch.tensor([1.0, 3.0, 4.0, 2.0])  # not symmetric, so that a flip shows
KERNEL = torch.outer(TAPS, torch.tensor([2.0, 1.0, 5.0, 1.0])) / TAPS.sum() / 9


def depthwise(x: Tensor, gain: float, padding: int, stride: int) -> Tensor:
    weight = (KERNEL * gain).to(x.dtype).expand(x.shape[1], 1, 4, 4)
    return F.conv2d(x, weight, padding=padding, stride=stride, groups=x.shape[1])


@pytest.mark.parametrize(("padding", "stride"), [(1, 1), (2, 1), (1, 2), (0, 1)])
@pytest.mark.parametrize("size", [(4, 4), (9, 9), (8, 5)])
def test_convolved_is_a_depthwise_convolution(size: tuple[int, int], padding: int, stride: int):
    x = torch.randn(3, 5, *size, dtype=torch.float64)
    found = convolved(x, KERNEL, gain=4.0, padding=padding, stride=stride)
    torch.testing.assert_close(found, depthwise(x, 4.0, padding, stride), rtol=1e-5, atol=1e-6)


def test_doubled_is_a_transposed_convolution():
    x = torch.randn(2, 3, 6, 4, dtype=torch.float64)
    weight = (KERNEL * 4).double().expand(3, 1, 4, 4)
    wanted = F.conv_transpose2d(x, weight, stride=2, padding=1, groups=3)
    torch.testing.assert_close(doubled(x, KERNEL, gain=4.0), wanted, rtol=1e-5, atol=1e-6)


def test_gradients_of_gradients():
    x = torch.randn(2, 2, 6, 6, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradgradcheck(lambda v: convolved(v, KERNEL, padding=2).square(), (x,))


def test_the_networks_operations_by_matrices(monkeypatch: pytest.MonkeyPatch):
    """On a GPU they take this way; here it is taken by force."""
    x = torch.randn(2, 4, 8, 8).contiguous(memory_format=torch.channels_last)
    small, large = torch.randn(6, 4, 3, 3), torch.randn(6, 4, 1, 1)
    calls = [
        lambda: operations.upsample2(x, KERNEL),
        lambda: operations.upsample_conv2(x, small, KERNEL),
        lambda: resampling.downsample2(x, KERNEL),
        lambda: resampling.downsample_conv2(x, small, KERNEL),
        lambda: resampling.downsample_conv2(x, large, KERNEL),
    ]
    wanted = [call() for call in calls]
    for module in (operations, resampling):
        monkeypatch.setattr(module, "use_matrices", lambda x: True)
    for call, plain in zip(calls, wanted, strict=True):
        torch.testing.assert_close(call(), plain, rtol=1e-4, atol=1e-4)
