"""Hashes that are looked up by their parts give what comparing all of them gives."""

from __future__ import annotations

import numpy as np
import pytest

from manifests.audit.duplicates import near_pairs


@pytest.mark.parametrize("limit", [1, 2, 4, 6])
def test_looking_up_finds_what_comparing_all_pairs_finds(limit: int) -> None:
    rng = np.random.default_rng(limit)
    hashes = rng.random((1500, 64)) < rng.uniform(0.1, 0.9, 64)
    copies = hashes[rng.integers(0, 1500, 400)]
    for row in copies:  # up to two bits more than the limit, so that some are near and some are not
        row[rng.permutation(64)[: rng.integers(0, limit + 3)]] ^= True
    hashes = np.concatenate([hashes, copies])
    every = near_pairs(hashes, limit, most=len(hashes))
    assert len(every) > 100
    assert near_pairs(hashes, limit, most=10) == every


def test_many_equal_hashes_are_all_found() -> None:
    hashes = np.zeros((300, 64), bool)
    hashes[200:] = np.random.default_rng(0).random((100, 64)) < 0.5
    assert near_pairs(hashes, 4, most=10) == near_pairs(hashes, 4, most=300)


def test_clips_whose_frames_are_alike_give_each_pair_once() -> None:
    """Most hashes are there often, others a bit or two apart: each pair shares many choices of parts."""
    rng = np.random.default_rng(3)
    hashes = np.repeat(rng.random((12, 64)) < 0.5, 40, 0)[rng.permutation(480)]
    for row in hashes[::3]:
        row[rng.integers(0, 64, 2)] ^= True
    every = near_pairs(hashes, 4, most=len(hashes))
    assert near_pairs(hashes, 4, most=10) == every
    assert len(every) >= 12 * 40 * 39 // 2
