"""Several processes, as torchrun starts them: one global batch, gradients summed, statistics of normalisation
shared.

Each process computes the loss of the whole global batch out of everyone's outputs, and differentiates it by
its own: the sum of these gradients is the gradient of the global loss, also of losses that are no mean over
samples (CVaR, per-group terms). Loss terms that depend on weights directly would be counted once per process;
a loss must depend on outputs alone.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, fields, replace
from typing import Any, TypeVar

import torch
import torch.distributed as dist
from torch import Tensor

from nn.devices import torch_device

Truth = TypeVar("Truth", bound=Any)
NUMBERED = ("pairs", "tuples")


@dataclass(frozen=True)
class World:
    """One process among `size`; rank 0 writes files. device: where its network is."""

    rank: int = 0
    size: int = 1
    device: str = "cpu"

    def share(self, count: int) -> slice:
        """Rows of this rank: its part of a global batch of `count`, which `size` divides."""
        part = count // self.size
        return slice(self.rank * part, (self.rank + 1) * part)

    def sum_gradients(self, parameters: Iterable[Tensor]) -> None:
        """Add up the gradients of all ranks, in place, as one flat message. Every rank must have the same
        ones.
        """
        self.add_up([p.grad for p in parameters if p.grad is not None])

    def add_up(self, tensors: Sequence[Tensor]) -> None:
        """Sum each tensor over all ranks, in place, as one flat message. Every rank must have the same
        ones.
        """
        if self.size == 1 or not tensors:
            return
        flat = torch.cat([tensor.float().flatten() for tensor in tensors])
        dist.all_reduce(flat)
        for tensor, piece in zip(tensors, flat.split([t.numel() for t in tensors]), strict=True):
            tensor.copy_(piece.view_as(tensor))

    def gather(self, outputs: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Everyone's outputs, in the order of ranks; this rank's own part keeps its graph. Tensors: [rows,
        ...], equal rows.
        """
        if self.size == 1:
            return dict(outputs)
        whole = {}
        for name, own in outputs.items():
            sent = own.detach().float().contiguous()
            parts = [torch.empty_like(sent) for _ in range(self.size)]
            dist.all_gather(parts, sent)
            rows = [part.to(own.dtype) for part in parts]
            rows[self.rank] = own
            whole[name] = torch.cat(rows)
        return whole

    def gather_targets(self, targets: Truth) -> Truth:
        """Everyone's targets: a dataclass of tensors [rows, ...], mappings of them, and None.

        Numbers that tell rows of this rank apart (`pairs`, `tuples`) are made different between ranks.
        """
        if self.size == 1:
            return targets
        whole: dict[str, Any] = {}
        for part in fields(targets):
            value = getattr(targets, part.name)
            if isinstance(value, Tensor) and part.name in NUMBERED:
                value = torch.where(value < 0, value, value + self.rank * value.numel())
            whole[part.name] = self._gathered(value)
        return replace(targets, **whole)

    def _gathered(self, value: Any) -> Any:
        if isinstance(value, Mapping):
            return {name: self._gathered(v) for name, v in value.items()}
        if value is None:
            return None
        sent = value.contiguous()
        parts = [torch.empty_like(sent) for _ in range(self.size)]
        dist.all_gather(parts, sent)
        return torch.cat(parts)

    def collect(self, value: Any) -> list[Any]:
        """A picklable value of every rank, in the order of ranks."""
        if self.size == 1:
            return [value]
        values: list[Any] = [None] * self.size
        dist.all_gather_object(values, value)
        return values

    def barrier(self) -> None:
        """Wait for all ranks."""
        if self.size > 1:
            dist.barrier()


def process_count() -> int:
    """How many processes torchrun has started; 1 without it."""
    return int(os.environ.get("WORLD_SIZE", "1"))


@contextmanager
def join_world(device: str) -> Iterator[World]:
    """The world that torchrun's environment tells of; alone without it. On `cuda`, one GPU per local rank.

    A process group that is there already is used and left as it is: a program may train several times in one.

    Raises:
        UsageError, MissingError: as `nn.devices.torch_device`.
    """
    size = process_count()
    where = f"cuda:{os.environ.get('LOCAL_RANK', '0')}" if device == "cuda" and size > 1 else device
    kind = torch_device(where)
    if size == 1:
        yield World(device=where)
        return
    if dist.is_initialized():
        yield World(dist.get_rank(), size, where)
        return
    if kind.type == "cuda":
        torch.cuda.set_device(kind)
    dist.init_process_group("nccl" if kind.type == "cuda" else "gloo")
    try:
        yield World(dist.get_rank(), size, where)
    finally:
        dist.destroy_process_group()
