"""Writing what `torch.save` writes: equal states are equal bytes, and a full disk ends in words."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, BinaryIO

import torch
from torch import Tensor

from manifests.atomic import atomic_path


class _Told:
    """A file that keeps the first error of the disk: torch's writer replaces it by one of its own."""

    def __init__(self, file: BinaryIO) -> None:
        self.file = file
        self.error: OSError | None = None

    def write(self, data: Any) -> int:
        try:
            return self.file.write(data)
        except OSError as error:
            self.error = self.error or error
            raise

    def flush(self) -> None:
        self.file.flush()


class _Apart:
    """Copies of values that share nothing: pickle writes an object that it met before as a reference.

    Optimisers hand out one pair of betas for all groups of parameters, and a read state has one for each:
    what is the same would be written otherwise after a resume. Equal strings are one object here, containers
    and storages are of one owner.
    """

    def __init__(self) -> None:
        self.texts: dict[str, str] = {}
        self.storages: set[int] = set()

    def __call__(self, value: Any) -> Any:
        if isinstance(value, str):
            return self.texts.setdefault(value, value)
        if isinstance(value, Tensor):
            return self.tensor(value)
        if isinstance(value, Mapping):  # a state dict's `_metadata` goes: its reader leaves it aside
            return {self(key): self(item) for key, item in value.items()}
        if isinstance(value, list):
            return [self(item) for item in value]
        return tuple(self(item) for item in value) if type(value) is tuple else value

    def tensor(self, value: Tensor) -> Tensor:
        """The tensor, or a copy where its storage holds more, or was met before."""
        storage = value.untyped_storage()
        met = storage.data_ptr() in self.storages
        self.storages.add(storage.data_ptr())
        whole = storage.nbytes() == value.numel() * value.element_size()
        return value if whole and not met else value.detach().clone()


def save_state(path: Path, state: Mapping[str, Any]) -> None:
    """Write a state (tensors, numbers, strings, lists, dictionaries) atomically, as `torch.save` does.

    The bytes are a function of the values, whether they were computed or read again.

    Raises:
        PartialError: the disk is full; what was there stays. UsageError: the folder cannot be written.
    """
    with atomic_path(path) as temporary, open(temporary, "wb") as file:
        told = _Told(file)
        try:
            torch.save(_Apart()(state), told)  # type: ignore[arg-type]
        except (RuntimeError, OSError):
            if told.error is not None:
                raise told.error from None
            raise
