"""Pairs of near faces: all of them among some thousands, nearly all among more."""

from __future__ import annotations

import numpy as np

from attribute_models.identity.near import PARTS, _least, near_pairs
from benchmarks.scale_data import embeddings


def _by_loop(faces: np.ndarray, distance: float) -> set[tuple[int, int]]:
    pairs = set()
    for i, face in enumerate(faces):
        apart = np.linalg.norm(faces[i + 1 :] - face, axis=1).astype(float)
        pairs |= {(i, int(j)) for j in i + 1 + np.flatnonzero(apart < distance)}
    return pairs


def test_all_pairs_are_those_of_a_plain_loop() -> None:
    faces = embeddings(2500)
    found = near_pairs(faces, 0.4)
    wanted = _by_loop(faces, 0.4)
    assert len(wanted) > 50
    assert set(map(tuple, found.tolist())) == wanted
    assert (found == np.array(sorted(wanted))).all()


def test_leaves_find_nearly_all_pairs_and_no_others() -> None:
    faces = embeddings(6000)
    wanted = set(map(tuple, near_pairs(faces, 0.25).tolist()))
    found = set(map(tuple, near_pairs(faces, 0.25, exact=100, probes=8).tolist()))
    assert len(wanted) > 80
    assert found <= wanted
    assert len(found) >= 0.98 * len(wanted)


def test_none_one_and_equal_faces() -> None:
    assert near_pairs(np.zeros((0, 8), np.float32), 0.25).shape == (0, 2)
    assert near_pairs(np.zeros((1, 8), np.float32), 0.25).shape == (0, 2)
    assert near_pairs(np.zeros((3, 8), np.float32), 0.25).tolist() == [[0, 1], [0, 2], [1, 2]]


def test_equal_faces_among_leaves_leave_some_empty() -> None:
    faces = np.concatenate([np.zeros((3000, 8), np.float32), np.eye(8, dtype=np.float32)])
    found = near_pairs(faces, 0.25, exact=100, probes=3)
    assert len(found) == 3000 * 2999 // 2
    assert found.max() < 3000


def test_the_nearest_pivots_are_those_of_one_partition() -> None:
    rng = np.random.default_rng(0)
    for width in (PARTS, 12 * PARTS, 31 * PARTS):
        values = rng.normal(size=(50, width)).astype(np.float32)
        values[:, -3:] = np.inf
        assert (np.sort(_least(values, 6), 1) == np.sort(np.argsort(values, axis=1)[:, :6], 1)).all()
