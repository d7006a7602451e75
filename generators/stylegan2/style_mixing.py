"""Style mixing: coarse styles of one latent, fine styles of another. Karras et al., arXiv 1812.04948, section
3.1.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy.typing as npt
import torch
from torch import Tensor

from manifests.errors import UsageError


def mix_styles(
    w_a: Tensor | npt.NDArray,
    w_b: Tensor | npt.NDArray,
    crossover: int | Sequence[int] | npt.NDArray | Tensor,
) -> Tensor:
    """The first `crossover` styles of `w_a`, the others of `w_b`.

    Args:
        w_a: float32 [N, num_ws, w_dim], as `mapping` gives them.
        w_b: float32 [N, num_ws, w_dim], as `mapping` gives them.
        crossover: 0 (all of `w_b`) to num_ws (all of `w_a`); one for the batch, or one per sample.

    Returns:
        w: float32 [N, num_ws, w_dim], a new tensor.

    Raises:
        UsageError: shapes that differ; crossovers that are no whole numbers, out of range, or of another
            count than N.
    """
    a = torch.as_tensor(w_a, dtype=torch.float32)
    b = torch.as_tensor(w_b, dtype=torch.float32, device=a.device)
    if a.ndim != 3 or a.shape != b.shape:
        raise UsageError(
            f"w {list(a.shape)} and {list(b.shape)}", "do not mix", "give two [N, num_ws, w_dim] of one shape"
        )
    at = torch.as_tensor(crossover, device=a.device)
    count, num_ws = a.shape[:2]
    if at.is_floating_point() or at.dtype == torch.bool or at.ndim > 1 or (at.ndim == 1 and len(at) != count):
        raise UsageError(
            f"crossover {crossover!r:.80}", f"does not fit {count} samples", "give one int, or one per sample"
        )
    if bool(((at < 0) | (at > num_ws)).any()):
        raise UsageError(f"crossover {crossover!r:.80}", "is out of range", f"choose 0 to {num_ws}")
    first = torch.arange(num_ws, device=a.device) < at.reshape(-1, 1)
    return torch.where(first.expand(count, -1).unsqueeze(2), a, b)
