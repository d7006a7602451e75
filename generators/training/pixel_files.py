"""Pictures of one size in a `.npy` file, written one after another: a full disk is an error of the write, not
of the memory map.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

import numpy as np
import numpy.typing as npt

from manifests.atomic import atomic_path

Pixels = npt.NDArray[np.uint8]


def _header(file: BinaryIO, count: int, size: int) -> None:
    """The header of uint8 [count, size, size, 3]; numpy leaves it room for any count, so that it can be
    written again.
    """
    shape = {"descr": "|u1", "fortran_order": False, "shape": (count, size, size, 3)}
    np.lib.format.write_array_header_1_0(file, shape)


@contextmanager
def pixel_file(path: Path, size: int) -> Iterator[Callable[[Pixels], None]]:
    """Write `path` atomically; inside, call what it gives with pictures: uint8 [n, size, size, 3].

    Raises:
        PartialError: the disk is full. UsageError: the folder cannot be written.
    """
    with atomic_path(path) as temporary, open(temporary, "wb") as file:
        _header(file, 0, size)
        count = 0

        def add(pictures: Pixels) -> None:
            nonlocal count
            file.write(np.ascontiguousarray(pictures, np.uint8).tobytes())
            count += len(pictures)

        yield add
        file.seek(0)
        _header(file, count, size)
