"""Which parameters a training changes: all, the normalisation layers and heads, or the heads alone.

Few trained parameters keep what a pretrained trunk knows (normalisation layers and head: GenD, arXiv
2508.06248).
"""

from __future__ import annotations

from typing import Literal

from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

NORMS = (_BatchNorm, nn.LayerNorm, nn.GroupNorm)


def freeze(
    network: nn.Module, encoders: tuple[nn.Module, ...], tune: Literal["all", "norms", "head"], widened: bool
) -> None:
    """Let only the chosen parameters be trained, in place.

    Args:
        network: the whole detector.
        encoders: its trunks; what lies outside them is heads and always trained.
        tune: `all`; `norms`: scales and shifts of normalisation layers; `head`: nothing of the trunks.
        widened: the first convolution takes a residual beside the picture, whose new channels start at zero:
            it is trained too where `tune` is `norms`.
    """
    for trunk in encoders:
        for parameter in trunk.parameters():
            parameter.requires_grad_(tune == "all")
        if tune != "norms":
            continue
        for module in trunk.modules():
            if isinstance(module, NORMS):
                for parameter in module.parameters(recurse=False):
                    parameter.requires_grad_(True)
        first = next((m for m in trunk.modules() if isinstance(m, nn.Conv2d)), None)
        if widened and first is not None:
            first.weight.requires_grad_(True)
