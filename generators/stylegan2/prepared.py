"""What a layer's weight alone determines, kept between pictures: at official sizes a tenth of the time."""

from __future__ import annotations

from dataclasses import dataclass, field

import torch
from torch import Tensor

from generators.stylegan2.operations import squared_sums


def channels_last(x: Tensor) -> bool:
    """Whether x [N, C, H, W] has its channels last in memory, and not in the usual order as well."""
    return x.is_contiguous(memory_format=torch.channels_last) and not x.is_contiguous()


@dataclass
class Prepared:
    """The weight that `prepared` is of, in the order in memory that a convolution reads, and its squared
    sums.

    held: the weight, as it was (the same memory: it cannot be somebody else's while it is held). version: its
    number of changes then.
    """

    held: Tensor | None = field(default=None, repr=False)
    version: int = -1
    last: bool = False
    found: tuple[Tensor, Tensor] | None = field(default=None, repr=False)

    def of(self, weight: Tensor, last: bool, transposed: bool) -> tuple[Tensor, Tensor | None]:
        """The weight and its squared sums; where gradients are wanted, the weight alone.

        Args:
            weight: float32 [O, I, 3, 3], a parameter; changes of it in place are noticed.
            last: whether the input has its channels last.
            transposed: whether a transposed convolution reads it.

        Returns:
            The weight, float32 [O, I, 3, 3] with the same values, and float32 [O, I], or None.
        """
        if torch.is_grad_enabled() or weight.is_inference():
            return weight, None
        same = self.held is not None and self.held.data_ptr() == weight.data_ptr()
        if self.found is None or not same or self.version != weight._version or self.last != last:
            self.held, self.version, self.last = weight.detach(), weight._version, last
            self.found = (_ordered(self.held, transposed) if last else self.held, squared_sums(self.held))
        return self.found


def _ordered(weight: Tensor, transposed: bool) -> Tensor:
    turned = weight.transpose(0, 1) if transposed else weight
    turned = turned.contiguous(memory_format=torch.channels_last)
    return turned.transpose(0, 1) if transposed else turned
