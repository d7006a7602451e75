"""Canonical micro-batches: a network always sees the same batch shape, so a sample's output never depends on
its batch.

Kernels choose their blocking by the shape of the input; with a fixed number of rows (the last batch is filled
up with repeats) every row gets the same arithmetic whatever its neighbours, its position or the number of
samples.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from manifests.errors import UsageError

if TYPE_CHECKING:
    import torch
    from torch import Tensor

ROWS = 16


def check_images(images: npt.NDArray[np.uint8]) -> None:
    """Refuse what is not uint8 [N, H, W, 3].

    Raises:
        UsageError: another type or shape.
    """
    if images.dtype != np.uint8 or images.ndim != 4 or images.shape[3] != 3 or 0 in images.shape[1:]:
        raise UsageError(
            f"images {images.dtype} {list(images.shape)}", "cannot be read", "give uint8 [N, H, W, 3]"
        )


def in_micro_batches(
    images: npt.NDArray[np.uint8],
    size: int,
    device: torch.device,
    network: Callable[[Tensor], Tensor],
) -> npt.NDArray[np.float32]:
    """`network` over images, `ROWS` at a time in float32.

    Args:
        images: uint8 [N, H, W, 3]; resampled to `size`.
        network: float32 [ROWS, 3, size, size] in [-1, 1] to float32 [ROWS, ...].

    Returns:
        float32 [N, ...].

    Raises:
        UsageError: images of another type or shape.
    """
    import torch

    from attribute_models.networks import prepare

    check_images(images)
    empty = len(images) == 0
    if empty:
        images = np.zeros((1, size, size, 3), np.uint8)
    parts = []
    for start in range(0, len(images), ROWS):
        rows = images[start : start + ROWS]
        full = np.concatenate([rows, np.repeat(rows[-1:], ROWS - len(rows), axis=0)])
        with torch.inference_mode():
            parts.append(network(prepare(full, size).to(device)).float().cpu().numpy()[: len(rows)])
    out = np.concatenate(parts).astype(np.float32, copy=False)
    return out[:0] if empty else out
