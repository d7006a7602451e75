"""Seeds: one per sample, so that sample #1234 is the same at any batch size, worker count or shard layout.

There is no global random state. `seed_of(run_seed, stage, cell, index)` hashes what the sample *is*.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence

import numpy as np
import numpy.typing as npt


def _encoded(part: str | int) -> bytes:
    data = f"{type(part).__name__}:{part}".encode()
    return len(data).to_bytes(4, "little") + data


def seed_of(run_seed: int, *parts: str | int) -> int:
    """A 63-bit seed out of the run's seed and what the sample is (stage, cell, index, ...).

    blake2b over a length-prefixed encoding, so that ("ab", "c") and ("a", "bc") differ.

    >>> seed_of(1, "sample", "White/Male", 7) == seed_of(1, "sample", "White/Male", 7)
    True
    """
    digest = hashlib.blake2b(digest_size=8)
    for part in (run_seed, *parts):
        digest.update(_encoded(part))
    return int.from_bytes(digest.digest(), "little") >> 1


def seeds_of(run_seed: int, *parts: str | int, names: Iterable[str]) -> npt.NDArray[np.int64]:
    """`seed_of(run_seed, *parts, name)` of many names: int64 [N]."""
    start = hashlib.blake2b(digest_size=8)
    for part in (run_seed, *parts):
        start.update(_encoded(part))
    found = bytearray()
    for name in names:
        digest = start.copy()
        digest.update(_encoded(name))
        found += digest.digest()
    return (np.frombuffer(bytes(found), "<u8") >> np.uint64(1)).astype(np.int64)


def rng_of(run_seed: int, *parts: str | int) -> np.random.Generator:
    """A numpy generator (PCG64) for one sample; see `seed_of`."""
    return np.random.Generator(np.random.PCG64(seed_of(run_seed, *parts)))


def normal_of(run_seed: int, keys: Sequence[tuple[str | int, ...]], dim: int) -> np.ndarray:
    """Standard normal draws, one row per key: float32 [len(keys), dim]. Row i depends on keys[i] alone."""
    rows = [rng_of(run_seed, *key).standard_normal(dim, dtype=np.float32) for key in keys]
    return np.stack(rows) if rows else np.zeros((0, dim), np.float32)
