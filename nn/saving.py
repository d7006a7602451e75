"""Writing what `torch.save` writes: a full disk ends in words."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, BinaryIO

import torch

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


def save_state(path: Path, state: Mapping[str, Any]) -> None:
    """Write a state (tensors, numbers, strings, lists, dictionaries) atomically, as `torch.save` does.

    Raises:
        PartialError: the disk is full; what was there stays. UsageError: the folder cannot be written.
    """
    with atomic_path(path) as temporary, open(temporary, "wb") as file:
        told = _Told(file)
        try:
            torch.save(dict(state), told)  # type: ignore[arg-type]
        except (RuntimeError, OSError):
            if told.error is not None:
                raise told.error from None
            raise
