"""Balanced batches: what stands in each, and that they depend on seed and epoch alone."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from detector.training.sampler import balanced_epoch, shuffled_epoch


def rows(reals: list[int], fakes: int) -> tuple[np.ndarray, np.ndarray, list[str]]:
    """`reals[c]` identities in cell c, each with `fakes` fakes."""
    labels, cells, pairs = [], [], []
    for cell, count in enumerate(reals):
        for i in range(count):
            labels += [0] + [1] * fakes
            cells += [cell] * (1 + fakes)
            pairs += [f"{cell}-{i}"] * (1 + fakes)
    return np.array(labels), np.array(cells), pairs


def test_each_batch_is_half_real_in_every_cell_and_holds_both_halves() -> None:
    labels, cells, pairs = rows([8, 8, 8, 8], 2)
    batches = balanced_epoch(labels, cells, pairs, 16, 1, 0)
    assert len(batches) == 8
    for batch in batches:
        counts = Counter(zip(cells[batch].tolist(), labels[batch].tolist(), strict=True))
        assert counts == dict.fromkeys([(c, y) for c in range(4) for y in (0, 1)], 2)
        assert [pairs[i] for i in batch[0::2]] == [pairs[i] for i in batch[1::2]]
    seen = Counter(np.concatenate(batches).tolist())
    assert all(seen[i] == (1 if labels[i] else 2) for i in range(len(labels)))


def test_pure_function_of_seed_and_epoch() -> None:
    labels, cells, pairs = rows([5, 9, 3], 2)
    one, two = (balanced_epoch(labels, cells, pairs, 8, 4, 7) for _ in range(2))
    assert all(np.array_equal(a, b) for a, b in zip(one, two, strict=True))
    for other in (
        balanced_epoch(labels, cells, pairs, 8, 4, 8),
        balanced_epoch(labels, cells, pairs, 8, 5, 7),
    ):
        assert not np.array_equal(np.concatenate(one), np.concatenate(other))
    assert not np.array_equal(
        np.concatenate(shuffled_epoch(50, 8, 1, 0)), np.concatenate(shuffled_epoch(50, 8, 1, 1))
    )
    assert len(set(np.concatenate(shuffled_epoch(50, 8, 1, 0)).tolist())) == 48


@settings(max_examples=40, deadline=None)
@given(
    st.lists(st.integers(1, 9), min_size=1, max_size=5), st.integers(1, 4), st.integers(1, 6), st.booleans()
)
def test_any_shape_of_set(reals: list[int], fakes: int, half: int, together: bool) -> None:
    labels, cells, pairs = rows(reals, fakes)
    batches = balanced_epoch(labels, cells, pairs, 2 * half, 3, 1, pairs=together)
    assert len(batches) == sum(reals) * fakes // half
    for batch in batches:
        assert labels[batch[0::2]].sum() == 0
        assert labels[batch[1::2]].sum() == half
        assert np.array_equal(cells[batch[0::2]], cells[batch[1::2]])
    if batches:
        assert max(Counter(i for i in np.concatenate(batches).tolist() if labels[i]).values()) == 1


@pytest.mark.parametrize("together", [True, False])
def test_fakes_without_a_pair_take_any_real_of_their_cell(together: bool) -> None:
    labels, cells = np.array([0, 0, 1, 1, 1, 0, 1]), np.array([0, 0, 0, 0, 0, 1, 1])
    batches = balanced_epoch(labels, cells, [None] * 7, 2, 1, 0, pairs=together)
    assert len(batches) == 4
    assert all(cells[b[0]] == cells[b[1]] for b in batches)
