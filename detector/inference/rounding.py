"""What rounding a network's weights does to the means of its activations, and how batch normalisation takes
it back.

A rounded convolution moves the mean of each output channel, the more since its inputs, behind a ReLU, are
not below 0; and nothing later takes a constant away. The batch normalisation behind it does, once its running
mean has moved by as much: bias correction (Nagel, van Baalen, Blankevoort & Welling, Data-free quantization
through weight equalization and bias correction, ICCV 2019, section 4.2).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager

import torch
from torch import Tensor, nn

Shifts = dict[str, list[Tensor]]


@contextmanager
def mean_shifts(network: nn.Module, rounded: Mapping[str, Tensor]) -> Iterator[Shifts]:
    """Measure, while `network` looks at pictures, by how much rounding moves what its normalisations get.

    Each convolution whose weight differs in `rounded` is applied to its input with that one, too; what it
    moves is put down to the next normalisation that runs.

    Args:
        network: with its own weights, in evaluation mode.
        rounded: its state with rounded weights, by the same names.

    Yields:
        by name of a normalisation, float32 [C] per batch that was looked at; filled while the network runs.
    """
    found: Shifts = {}
    pending: list[Tensor] = []

    def convolved(name: str) -> Callable[..., None]:
        def hook(module: nn.Conv2d, inputs: tuple[Tensor], output: Tensor) -> None:
            pending.clear()
            with torch.no_grad():
                whole, other = module.weight.data, rounded[f"{name}.weight"].to(module.weight)
                if torch.equal(whole, other):
                    return
                module.weight.data = other
                try:
                    moved = (
                        module.forward(inputs[0]) - output
                    )  # its own forward: padding is the layer's matter
                finally:
                    module.weight.data = whole
                pending.append(moved.mean((0, 2, 3)).float().cpu())

        return hook

    def normalised(name: str) -> Callable[..., None]:
        def hook(module: nn.BatchNorm2d, inputs: tuple[Tensor]) -> None:
            if pending and len(pending[0]) == module.num_features:
                found.setdefault(name, []).append(pending[0])
            pending.clear()

        return hook

    handles = []
    for name, module in network.named_modules():
        if isinstance(module, nn.Conv2d):
            handles.append(module.register_forward_hook(convolved(name)))
        elif isinstance(module, nn.BatchNorm2d):
            handles.append(module.register_forward_pre_hook(normalised(name)))
    try:
        yield found
    finally:
        for handle in handles:
            handle.remove()


def corrected(rounded: Mapping[str, Tensor], shifts: Shifts) -> dict[str, Tensor]:
    """`rounded` with running means that take the mean of `shifts` away; the rest stays as it is."""
    out = dict(rounded)
    for name, moved in shifts.items():
        mean = out[f"{name}.running_mean"]
        out[f"{name}.running_mean"] = mean + torch.stack(moved).mean(0).to(mean)
    return out
