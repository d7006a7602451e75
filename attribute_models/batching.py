"""Faces of any size through a network, `ROWS` at a time (`nn.micro_batches`)."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from manifests.errors import UsageError
from nn.micro_batches import micro_batches

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
    for at, kept in micro_batches(len(images), ROWS):
        with torch.inference_mode():
            parts.append(network(prepare(images[at], size).to(device)).float().cpu().numpy()[:kept])
    out = np.concatenate(parts).astype(np.float32, copy=False)
    return out[:0] if empty else out
