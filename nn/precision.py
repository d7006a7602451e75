"""The precision a training computes in, decided once for all packages: float32, or bfloat16 by autocast.

Only some processors have bfloat16 arithmetic (AVX-512-BF16 or AMX; CUDA capability 8.0). On the others torch
converts to float32 and back at every step, which is several times *slower* than float32. `auto` takes
bfloat16 where it is native, else float32; it never measures, so that the same machine always decides alike.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import BeforeValidator

from manifests.errors import UsageError

if TYPE_CHECKING:
    import torch

Used = Literal["float32", "bfloat16"]
OLDER_NAMES = {"fp32": "float32", "bf16": "bfloat16"}
FEATURES = ("avx512_bf16", "amx_bf16", "bf16")
"""What /proc/cpuinfo calls bfloat16 arithmetic: of x86, and of ARM."""
NARROW = ("SSE41", "AVX", "AVX2", "AVX2_VNNI", "AVX2_VNNI_2", "AVX512_CORE", "AVX512_CORE_VNNI")
"""Values of ONEDNN_MAX_CPU_ISA under which oneDNN, which computes convolutions for torch, does without
bfloat16 arithmetic.
"""
BUDGET, LEAST = 0.3, 3
"""Seconds that measuring takes, about, and how often each precision is tried at least."""
NOTICEABLE = 1.1
"""The slowdown that people are warned of from."""


def _current_name(value: Any) -> Any:
    return OLDER_NAMES.get(value, value) if isinstance(value, str) else value


Precision = Annotated[Literal["auto", "float32", "bfloat16"], BeforeValidator(_current_name)]
"""The type of a setting; the names `fp32` and `bf16` of older files are read too."""


def without_bf16(values: Any) -> Any:
    """Settings with the boolean `bf16` of older files written as `precision`; others as they are.

    Raises:
        ValueError: both are given.
    """
    if not isinstance(values, Mapping) or "bf16" not in values:
        return values
    given = dict(values)
    old = given.pop("bf16")
    if not isinstance(old, bool):
        raise ValueError('bf16 is now named precision: "auto", "float32" or "bfloat16"')
    if "precision" in given:
        raise ValueError("bf16 is the older name of precision: give precision alone")
    return {**given, "precision": "bfloat16" if old else "float32"}


@dataclass(frozen=True)
class Choice:
    """What a training computes in. why: where that comes from. slowdown: measured, where the setting is slow
    here.
    """

    asked: str
    used: Used
    why: str
    slowdown: float | None = None

    @property
    def text(self) -> str:
        """One line for people."""
        line = f"precision {self.used} ({self.asked}: {self.why})"
        if self.slowdown is None or self.slowdown < NOTICEABLE:
            return line
        return (
            f"warning: {line}; measured {self.slowdown:.1f} times as long as float32, "
            'precision = "auto" chooses the faster'
        )


def possible(asked: str) -> tuple[Used, ...]:
    """The precisions that a setting may come to, on one machine or another."""
    everywhere: tuple[Used, ...] = ("float32", "bfloat16")
    return everywhere if asked == "auto" else tuple(used for used in everywhere if used == asked)


def choose(asked: str, device: str, agree: Callable[[bool], bool] = bool) -> Choice:
    """The precision for a device, and why.

    Args:
        asked: `auto`, `float32` or `bfloat16`.
        device: as torch names it.
        agree: makes of this process's answer that of all processes of a training (bfloat16 only where all
            have it).

    Raises:
        UsageError: another word.
    """
    asked = OLDER_NAMES.get(asked, asked)
    if asked not in ("auto", "float32", "bfloat16"):
        raise UsageError(f"precision {asked!r}", "is not known", "choose one of: auto, float32, bfloat16")
    kind = str(device)
    lacking = missing(kind)
    native = agree(not lacking)
    why = lacking or ("bfloat16 is native here" if native else "another process has no native bfloat16")
    if asked == "auto":
        return Choice(asked, "bfloat16" if native else "float32", why)
    if asked == "float32":
        return Choice(asked, "float32", "as set")
    if lacking:
        return Choice(asked, "bfloat16", f"as set, but {lacking}", slowdown(kind))
    return Choice(asked, "bfloat16", "as set")


def autocast(device: str, used: str) -> torch.autocast:
    """A context in which torch computes in a precision that `choose` gave."""
    import torch

    return torch.autocast(torch.device(device).type, torch.bfloat16, enabled=used == "bfloat16")


@lru_cache(maxsize=16)
def missing(device: str) -> str:
    """Why bfloat16 is not native on a device; empty where it is. Asked once per process."""
    import torch

    where = torch.device(device)
    if where.type == "cuda":
        capability = torch.cuda.get_device_capability(where)
        return (
            ""
            if capability >= (8, 0)
            else f"CUDA capability {capability[0]}.{capability[1]} has no bfloat16 arithmetic"
        )
    if where.type != "cpu":
        return f"bfloat16 is not used on {where.type}"
    limit = os.environ.get("ONEDNN_MAX_CPU_ISA") or os.environ.get("DNNL_MAX_CPU_ISA", "")
    return missing_on_cpu(_runs(), cpu_features(), limit)


def missing_on_cpu(runs: bool, features: frozenset[str], limit: str) -> str:
    """Why bfloat16 is not native on a CPU; empty where it is.

    Args:
        runs: whether torch's convolutions take bfloat16 at all; they also do where they only emulate it.
        features: of the processor, see `cpu_features`.
        limit: the value of ONEDNN_MAX_CPU_ISA; empty for none.
    """
    if not features & set(FEATURES):
        return "this CPU has no bfloat16 arithmetic (AVX-512-BF16 or AMX)"
    if limit.upper() in NARROW:
        return f"ONEDNN_MAX_CPU_ISA={limit} leaves bfloat16 arithmetic unused"
    return "" if runs else "this torch does not use this CPU's bfloat16 arithmetic"


def _runs() -> bool:
    import torch

    if not torch.backends.mkldnn.is_available():  # type: ignore[no-untyped-call]
        return False
    asked = getattr(torch.ops.mkldnn, "_is_mkldnn_bf16_supported", None)
    return asked is not None and bool(asked())


def cpu_features(cpuinfo: Path = Path("/proc/cpuinfo")) -> frozenset[str]:
    """What the processor can do, as Linux names it; elsewhere what torch knows of bfloat16."""
    try:
        lines = cpuinfo.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        lines = []
    for line in lines:
        name, _, values = line.partition(":")
        if name.strip() in ("flags", "Features"):
            return frozenset(values.split())
    import torch

    known = {"avx512_bf16": "_is_avx512_bf16_supported", "amx_bf16": "_is_amx_tile_supported"}
    return frozenset(name for name, asked in known.items() if getattr(torch.cpu, asked, bool)())


def slowdown(device: str) -> float:
    """How many times as long bfloat16 takes as float32: two small convolutions, forwards and backwards; well
    under a second.
    """
    import torch
    from torch.nn.functional import conv2d

    where = torch.device(device)
    rng = torch.Generator().manual_seed(0)  # its own: the random state of the training stays as it was
    images = torch.randn(4, 16, 24, 24, generator=rng).to(where)
    weights = [torch.randn(32, width, 3, 3, generator=rng).to(where).requires_grad_() for width in (16, 32)]

    clock = (
        time.process_time if where.type == "cpu" else time.perf_counter
    )  # other programs do not lengthen the former

    def once(used: Used) -> float:
        start = clock()
        with autocast(device, used):
            found = conv2d(conv2d(images, weights[0]).relu(), weights[1])
        float(
            torch.autograd.grad(found.float().square().mean(), weights)[0].sum()
        )  # a number: waits for the device
        return clock() - start

    kinds: tuple[Used, ...] = ("float32", "bfloat16")
    for used in kinds:
        once(used)
    end, best = clock() + BUDGET, dict.fromkeys(kinds, float("inf"))
    for number in range(20):
        for used in kinds:
            best[used] = min(best[used], once(used))
        if number + 1 >= LEAST and clock() > end:
            break
    return best["bfloat16"] / best["float32"]
