"""Weights stored in half precision: half the bytes, read as float32."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from manifests.errors import DataError

BULK = 30_000
"""Numbers from which on a tensor is stored in half precision. The smaller ones hold few bytes, and most of
what rounding does.
"""


def half_precision(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The state with its large tensors (from `BULK` numbers on) in float16, the others as they are.

    Raises:
        DataError: a weight is too large for it.
    """
    out = {
        name: value.half() if value.is_floating_point() and value.numel() >= BULK else value
        for name, value in state.items()
    }
    wide = [name for name, value in out.items() if not torch.isfinite(value).all()]
    if wide:
        raise DataError(
            f"weights {', '.join(wide[:3])}",
            "do not fit half precision",
            "store them whole, or train with more weight decay",
        )
    return out
