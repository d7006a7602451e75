"""Writing what `torch.save` writes, and loading a state into what it was saved from: a full disk and a wrong state end in words."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

import torch

from manifests.archives import BROKEN
from manifests.atomic import atomic_path
from manifests.errors import DataError


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


@contextmanager
def resuming(path: Path) -> Iterator[None]:
    """Load a saved state inside: one of the right key with other content ends in words.

    Raises:
        DataError: something in it is missing, or of another kind or shape.
    """
    try:
        yield
    except BROKEN as error:
        why = f"does not hold what a training of this key saves ({type(error).__name__})"
        raise DataError(str(path), why, "remove it: training then starts again") from error
