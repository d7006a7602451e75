"""Several processes, as torchrun starts them: what they tell each other, and who writes files.

Gradients come together in one of two ways. Where each process differentiates the loss of the whole global
batch by its own outputs, the sum of the gradients is the gradient of that loss, also of losses that are no
mean over samples (CVaR, per-group terms): `sum_gradients`. Where each process has the mean loss of its own
rows, their mean is: `average_gradients`.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, fields, replace
from typing import Any, TypeVar

import torch
import torch.distributed as dist
from torch import Tensor

from manifests.errors import UsageError
from nn.devices import torch_device

Rows = TypeVar("Rows", bound=Any)


@dataclass(frozen=True)
class World:
    """One process among `size`; the one of rank 0 writes files.

    Args:
        rank: of this process, in [0, size).
        size: how many processes there are.
        device: where this process's networks are.
    """

    rank: int = 0
    size: int = 1
    device: torch.device = field(default_factory=lambda: torch.device("cpu"))

    def share(self, count: int) -> slice:
        """Which rows of a global batch are this process's.

        Args:
            count: rows of the global batch.

        Raises:
            UsageError: they do not split evenly.
        """
        if count % self.size:
            raise UsageError(
                f"batch of {count}", f"does not split among {self.size} processes", "choose a multiple of it"
            )
        part = count // self.size
        return slice(self.rank * part, (self.rank + 1) * part)

    def add_up(self, tensors: Sequence[Tensor]) -> None:
        """Sum each tensor over all processes, in place, as one flat message in float32.

        Args:
            tensors: any shapes; every process must have the same ones.
        """
        if self.size == 1 or not tensors:
            return
        flat = torch.cat([tensor.float().flatten() for tensor in tensors])
        dist.all_reduce(flat)
        for tensor, piece in zip(tensors, torch.split(flat, [t.numel() for t in tensors]), strict=True):
            tensor.copy_(piece.view_as(tensor))

    def sum_gradients(self, parameters: Iterable[Tensor]) -> None:
        """Add up the gradients of all processes, in place; see the module.

        Args:
            parameters: those without a gradient are left out, which must be the same ones everywhere.
        """
        self.add_up([p.grad for p in parameters if p.grad is not None])

    def average_gradients(self, parameters: Iterable[Tensor]) -> None:
        """Average the gradients of all processes, in place; see the module.

        Args:
            parameters: as `sum_gradients` takes them.
        """
        if self.size == 1:
            return
        gradients = [p.grad for p in parameters if p.grad is not None]
        self.add_up(gradients)
        for gradient in gradients:
            gradient /= self.size

    def mean(self, value: float) -> float:
        """The mean of a number over all processes.

        Args:
            value: of this process.
        """
        if self.size == 1:
            return value
        total = torch.tensor(
            value, dtype=torch.float64, device=self.device if self.device.type == "cuda" else "cpu"
        )
        dist.all_reduce(total)
        return float(total) / self.size

    def gather(self, outputs: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Everyone's outputs, in the order of ranks; this process's own part keeps its graph.

        Args:
            outputs: name -> [rows, ...]; every process has as many rows.

        Returns:
            name -> [size x rows, ...], of the type that it had.
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

    def gather_fields(self, value: Rows, numbered: Sequence[str] = ()) -> Rows:
        """Everyone's rows of a dataclass, in the order of ranks.

        Args:
            value: a dataclass of tensors [rows, ...], mappings of them, and None.
            numbered: fields whose numbers tell rows of one process apart, int64, below 0 for none: they are
                made different between processes.

        Returns:
            The same dataclass with [size x rows, ...].
        """
        if self.size == 1:
            return value
        whole: dict[str, Any] = {}
        for part in fields(value):
            rows = getattr(value, part.name)
            if isinstance(rows, Tensor) and part.name in numbered:
                rows = torch.where(rows < 0, rows, rows + self.rank * rows.numel())
            whole[part.name] = self._gathered(rows)
        return replace(value, **whole)

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
        """A value of every process, in the order of ranks.

        Args:
            value: of this process; anything that can be pickled.
        """
        if self.size == 1:
            return [value]
        values: list[Any] = [None] * self.size
        dist.all_gather_object(values, value)
        return values

    def barrier(self) -> None:
        """Wait for all processes."""
        if self.size > 1:
            dist.barrier()


def process_count() -> int:
    """How many processes torchrun has started; 1 without it."""
    return int(os.environ.get("WORLD_SIZE", "1"))


@contextmanager
def join_world(device: str) -> Iterator[World]:
    """The world that torchrun's environment tells of; alone without it. On `cuda`, one GPU per local rank.

    A process group that is there already is used and left as it is: a program may train several times in one.

    Args:
        device: as torch names it.

    Raises:
        UsageError: no such device name.
        MissingError: this machine has no such device.
    """
    size = process_count()
    own = f"cuda:{os.environ.get('LOCAL_RANK', '0')}" if device == "cuda" and size > 1 else device
    where = torch_device(own)
    if size == 1:
        yield World(device=where)
        return
    if dist.is_initialized():
        yield World(dist.get_rank(), size, where)
        return
    if where.type == "cuda":
        torch.cuda.set_device(where)
    dist.init_process_group("nccl" if where.type == "cuda" else "gloo")
    try:
        yield World(dist.get_rank(), size, where)
    finally:
        dist.destroy_process_group()
