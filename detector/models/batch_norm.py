"""BatchNorm over the global batch of several processes, on CPU (gloo) as on CUDA; torch's SyncBatchNorm needs
CUDA.

Mean and mean square are summed over the processes, and so are their gradients, so that a step equals that of
one process with the whole batch, within rounding (Ioffe & Szegedy, ICML 2015, algorithm 1, over all rows).
Keys of the state stay.
"""

from __future__ import annotations

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm


class _Sum(torch.autograd.Function):
    """The sum over all processes; its gradient is the sum of everyone's gradients."""

    @staticmethod
    def forward(ctx: object, values: Tensor) -> Tensor:
        out = values.clone()
        dist.all_reduce(out)
        return out

    @staticmethod
    def backward(ctx: object, gradient: Tensor) -> Tensor:
        out = gradient.contiguous().clone()
        dist.all_reduce(out)
        return out


class GlobalBatchNorm(nn.BatchNorm2d):
    """Takes the place of one BatchNorm layer, with its tensors. `after`: what timm fuses into the layer
    (dropout, activation).
    """

    @classmethod
    def like(cls, layer: _BatchNorm) -> GlobalBatchNorm:
        """A layer that shares `layer`'s parameters and statistics."""
        own = cls(layer.num_features, layer.eps, layer.momentum, layer.affine, layer.track_running_stats)
        own.weight, own.bias = layer.weight, layer.bias
        own.running_mean, own.running_var = layer.running_mean, layer.running_var
        own.num_batches_tracked = layer.num_batches_tracked
        own.after = nn.Sequential(
            *[m for m in (getattr(layer, "drop", None), getattr(layer, "act", None)) if m is not None]
        )
        return own.train(layer.training)

    after: nn.Sequential

    def forward(self, inputs: Tensor) -> Tensor:
        if not self.training:
            return self._after(super().forward(inputs))
        values = inputs.float()
        axes = [0, *range(2, values.ndim)]
        count = values.numel() // values.shape[1]
        sums = torch.cat([values.sum(axes), values.square().sum(axes), values.new_full((1,), float(count))])
        total = _Sum.apply(sums)
        mean, square = total[: self.num_features] / total[-1], total[self.num_features : -1] / total[-1]
        variance = (square - mean.square()).clamp(min=0)
        if self.track_running_stats:
            self._record(mean.detach(), variance.detach(), float(total[-1].detach()))
        shape = [1, -1, *[1] * (values.ndim - 2)]
        out = (values - mean.view(shape)) * torch.rsqrt(variance + self.eps).view(shape)
        if self.affine:
            out = out * self.weight.view(shape) + self.bias.view(shape)
        return self._after(out.to(inputs.dtype))

    def _after(self, values: Tensor) -> Tensor:
        out: Tensor = self.after(values)
        return out

    @torch.no_grad()
    def _record(self, mean: Tensor, variance: Tensor, count: float) -> None:
        """Move the running statistics; the variance is unbiased, as torch has it."""
        assert self.num_batches_tracked is not None
        assert self.running_mean is not None
        assert self.running_var is not None
        self.num_batches_tracked.add_(1)
        share = 1 / float(self.num_batches_tracked) if self.momentum is None else self.momentum
        self.running_mean.lerp_(mean.to(self.running_mean.dtype), share)
        self.running_var.lerp_((variance * count / max(1.0, count - 1)).to(self.running_var.dtype), share)


def share_statistics(network: nn.Module) -> None:
    """Replace every BatchNorm layer of a network by one over all processes, in place."""
    for name, child in list(network.named_children()):
        if isinstance(child, _BatchNorm):
            setattr(network, name, GlobalBatchNorm.like(child))
        else:
            share_statistics(child)
