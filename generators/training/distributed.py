"""Several processes, as torchrun starts them: gradients averaged, everything else by rank."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import torch
import torch.distributed as dist
from torch import Tensor

from manifests.errors import UsageError
from nn.devices import torch_device


@dataclass(frozen=True)
class World:
    """One process among `size`; rank 0 writes files. device: where its networks are."""

    rank: int = 0
    size: int = 1
    device: torch.device = field(default_factory=lambda: torch.device("cpu"))

    def share(self, batch: int) -> slice:
        """The rows of a batch that are this rank's.

        Raises:
            UsageError: the batch does not split evenly.
        """
        if batch % self.size:
            raise UsageError(
                f"batch of {batch}", f"does not split among {self.size} processes", "choose a multiple of it"
            )
        part = batch // self.size
        return slice(self.rank * part, (self.rank + 1) * part)

    def average(self, parameters: Iterable[Tensor]) -> None:
        """Average the gradients over all ranks, in place, as one flat message."""
        if self.size == 1:
            return
        gradients = [p.grad for p in parameters if p.grad is not None]
        flat = torch.cat([gradient.flatten() for gradient in gradients])
        dist.all_reduce(flat)
        flat /= self.size
        for gradient, piece in zip(gradients, flat.split([g.numel() for g in gradients]), strict=True):
            gradient.copy_(piece.view_as(gradient))

    def mean(self, value: float) -> float:
        """The mean of a number over all ranks."""
        if self.size == 1:
            return value
        total = torch.tensor(
            value, dtype=torch.float64, device=self.device if self.device.type == "cuda" else "cpu"
        )
        dist.all_reduce(total)
        return float(total) / self.size

    def barrier(self) -> None:
        """Wait for all ranks."""
        if self.size > 1:
            dist.barrier()


@contextmanager
def join_world(device: str) -> Iterator[World]:
    """The world that torchrun's environment tells of; alone without it. On `cuda`, one GPU per local rank.

    Raises:
        UsageError, MissingError: as `nn.devices.torch_device`.
    """
    size = int(os.environ.get("WORLD_SIZE", "1"))
    own = f"cuda:{os.environ.get('LOCAL_RANK', '0')}" if device == "cuda" and size > 1 else device
    where = torch_device(own)
    if size == 1:
        yield World(device=where)
        return
    dist.init_process_group("nccl" if where.type == "cuda" else "gloo")
    try:
        yield World(dist.get_rank(), size, where)
    finally:
        dist.destroy_process_group()
