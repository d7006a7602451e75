"""Half precision in the highest resolutions of the synthesis network. Karras et al., arXiv 2006.06676,
appendix.

Only blocks at the highest `num_fp16_res` resolutions change type, never the one at 4 x 4; a config without
any (`num_fp16_res` 0) gets 4, as the authors train. Styles, demodulation factors and the image stay in
float32. Activations of these blocks are clamped to the config's `conv_clamp`; in float16, whose largest
number is 65504, to +-256 where it has none.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Literal

import torch
import torch.nn.functional as F

from generators.stylegan2.config import GeneratorConfig
from manifests.errors import UsageError
from manifests.registry import nearest

Precision = Literal["fp32", "fp16", "bf16"]
TYPES = {"fp32": torch.float32, "fp16": torch.float16, "bf16": torch.bfloat16}
HALF_CLAMP = 256.0
HALF_RESOLUTIONS = 4


def half_resolutions(config: GeneratorConfig) -> tuple[int, ...]:
    """The resolutions that a half precision applies to, ascending."""
    count = config.synthesis_kwargs.num_fp16_res or HALF_RESOLUTIONS
    return config.block_resolutions[1:][-count:]


def half_type(precision: str, device: torch.device) -> torch.dtype | None:
    """The type of `precision`; None for `fp32`.

    Raises:
        UsageError: an unknown precision, or one whose convolutions torch does not compute on `device`.
    """
    if precision not in TYPES:
        raise UsageError(
            f"precision {precision!r}",
            f"is not known{nearest(precision, list(TYPES))}",
            f"choose one of: {', '.join(TYPES)}",
        )
    if precision == "fp32":
        return None
    dtype = TYPES[precision]
    why = _refusal(dtype, str(device))
    if why:
        raise UsageError(
            f"precision {precision!r}",
            f"torch cannot compute it on {device} ({why})",
            "use fp32, or another device",
        )
    return dtype


@lru_cache(maxsize=32)
def _refusal(dtype: torch.dtype, device: str) -> str:
    """Why a convolution in `dtype` fails on `device`; empty where it works."""
    x, weight = (
        torch.ones(1, 1, 4, 4, dtype=dtype, device=device),
        torch.ones(1, 1, 3, 3, dtype=dtype, device=device),
    )
    try:
        F.conv2d(F.conv_transpose2d(x, weight, stride=2), weight)
    except RuntimeError as error:
        return str(error)
    return ""
