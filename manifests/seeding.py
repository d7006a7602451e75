"""Seeds: one per sample, so that sample #1234 is the same at any batch size, worker count or shard layout.

There is no global random state. `seed_of(run_seed, stage, cell, index)` hashes what the sample *is*.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import numpy as np


def seed_of(run_seed: int, *parts: str | int) -> int:
    """A 63-bit seed out of the run's seed and what the sample is (stage, cell, index, ...).

    blake2b over a length-prefixed encoding, so that ("ab", "c") and ("a", "bc") differ.

    >>> seed_of(1, "sample", "White/Male", 7) == seed_of(1, "sample", "White/Male", 7)
    True
    """
    digest = hashlib.blake2b(digest_size=8)
    for part in (run_seed, *parts):
        data = f"{type(part).__name__}:{part}".encode()
        digest.update(len(data).to_bytes(4, "little") + data)
    return int.from_bytes(digest.digest(), "little") >> 1


def rng_of(run_seed: int, *parts: str | int) -> np.random.Generator:
    """A numpy generator (PCG64) for one sample; see `seed_of`."""
    return np.random.Generator(np.random.PCG64(seed_of(run_seed, *parts)))


def normal_of(run_seed: int, keys: Sequence[tuple[str | int, ...]], dim: int) -> np.ndarray:
    """Standard normal draws, one row per key: float32 [len(keys), dim]. Row i depends on keys[i] alone."""
    rows = [rng_of(run_seed, *key).standard_normal(dim, dtype=np.float32) for key in keys]
    return np.stack(rows) if rows else np.zeros((0, dim), np.float32)
