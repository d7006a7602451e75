"""Pairs of faces that are nearer than a distance, among any number of them.

Up to `EXACT` faces are all compared, a block at a time. More are put into leaves, each with its nearest of
N / `LEAF` faces drawn as pivots, and every face is compared with the leaves of its `PROBES` nearest pivots:
time then grows as the number of faces, and a pair is missed only where neither looks into the other's leaf.
`benchmarks.identities` measures how many are. Distances are by subtraction, as those of `IdentityIndex`.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

from manifests.seeding import rng_of
from manifests.watching import watched

Embeddings = npt.NDArray[np.float32]
Ints = npt.NDArray[np.int64]
EXACT = 30_000
"""Faces of which all are compared with all."""
LEAF = 1024
PROBES = 6
BLOCK = 1024
ROWS = 256
"""Faces that are compared with a block or a leaf at one time: what comes of it stays in the caches."""
PARTS = 8
"""Among so many parts of the pivots the nearest ones are looked for."""


def near_pairs(embeddings: Embeddings, distance: float, *, exact: int = EXACT, probes: int = PROBES) -> Ints:
    """Index pairs (i < j), sorted, of faces that are nearer to each other than `distance`: int64 [M, 2].

    Args:
        embeddings: float32 [N, D], finite.
        distance: Euclidean.
        exact: so many faces are all compared with each other.
        probes: leaves that a face is compared with, where there are more.
    """
    if not len(embeddings):
        return np.zeros((0, 2), np.int64)
    squares = np.einsum("ij,ij->i", embeddings, embeddings)
    found = [np.zeros((0, 2), np.int64)]
    blocks = (
        _all_blocks(len(embeddings)) if len(embeddings) <= exact else _leaves(embeddings, squares, probes)
    )
    for queries, members in blocks:
        found.append(_near(embeddings, squares, queries, members, distance))
    pairs = np.concatenate(found)
    return np.asarray(np.unique(pairs, axis=0) if len(pairs) else pairs)


def _near(embeddings: Embeddings, squares: Embeddings, queries: Ints, members: Ints, distance: float) -> Ints:
    """Near pairs of some faces with others: int64 [M, 2], the smaller index first."""
    # One product of vectors that hold the squares too is -|q - m|^2 / 2: memory is gone over once.
    dim = embeddings.shape[1]
    there = np.full((len(members), dim + 2), -0.5, np.float32)
    there[:, :dim] = embeddings[members]
    there[:, -1] *= squares[members]
    # Twice the rounding of a product of D terms (Higham, Accuracy and stability, 3.5).
    most = squares[queries].max(initial=0) + squares[members].max(initial=0)
    least = -0.5 * (distance**2 + 4 * (dim + 4) * np.finfo(np.float32).eps * most)
    rows = min(len(queries), ROWS)
    looking = np.ones((rows, dim + 2), np.float32)
    rough, close = (np.empty((rows, len(members)), kind) for kind in (np.float32, np.bool_))
    out = [np.zeros((0, 2), np.int64)]
    for at in range(0, len(queries), ROWS):
        own = queries[at : at + ROWS]
        n = len(own)
        looking[:n, :dim], looking[:n, -2] = embeddings[own], squares[own]
        np.matmul(looking[:n], there.T, out=rough[:n])
        found = np.flatnonzero(np.greater_equal(rough[:n], least, out=close[:n]))
        row, column = np.divmod(found, max(len(members), 1))
        out.append(np.stack([own[row], members[column]], 1))
    pairs = np.sort(np.concatenate(out), 1)
    pairs = pairs[pairs[:, 0] != pairs[:, 1]]
    apart = np.linalg.norm(embeddings[pairs[:, 0]] - embeddings[pairs[:, 1]], axis=1)
    return np.asarray(pairs[apart.astype(np.float64) < distance])


def _all_blocks(count: int) -> Iterator[tuple[Ints, Ints]]:
    """Each block of faces with all that do not come before it."""
    starts = range(0, count, BLOCK)
    for start in watched(starts, "comparing identities", "blocks"):
        for other in range(start, count, BLOCK):
            yield np.arange(start, min(start + BLOCK, count)), np.arange(other, min(other + BLOCK, count))


def _leaves(embeddings: Embeddings, squares: Embeddings, probes: int) -> Iterator[tuple[Ints, Ints]]:
    """For each leaf the faces that look into it, and its own."""
    count = len(embeddings)
    pivots = np.sort(rng_of(0, "identity pivots", count).permutation(count)[: -(-count // LEAF)])
    probes = min(probes, len(pivots))
    size = -(-len(pivots) // PARTS) * PARTS
    points, own = np.zeros((size, embeddings.shape[1]), np.float32), np.full(size, np.inf, np.float32)
    points[: len(pivots)], own[: len(pivots)] = -2 * embeddings[pivots], squares[pivots]
    looks, leaf = np.empty((count, probes), np.int32), np.empty(count, np.int32)
    rough = np.empty((min(BLOCK, count), size), np.float32)
    for at in range(0, count, BLOCK):
        part = slice(at, min(at + BLOCK, count))
        mine = np.matmul(embeddings[part], points.T, out=rough[: part.stop - at])
        mine += own
        leaf[part] = mine.argmin(1)
        looks[part] = _least(mine, probes)
    members, first_member = _by_leaf(leaf, len(pivots))
    lookers, first_looker = _by_leaf(looks.reshape(-1), len(pivots))
    for one in watched(range(len(pivots)), "comparing identities", "leaves"):
        inside = members[first_member[one] : first_member[one + 1]]
        looking = lookers[first_looker[one] : first_looker[one + 1]] // probes
        yield looking, inside


def _least(values: Embeddings, count: int) -> Ints:
    """Places of the `count` smallest values of each row, in any order: int64 [N, count].

    values: float32 [N, K], K a multiple of `PARTS`. The smallest are in the `count` columns, of `PARTS`
    values each, that have the smallest minima.
    """
    width = values.shape[1] // PARTS
    if width < 2 * count:
        return np.asarray(values.argpartition(count - 1, axis=1)[:, :count])
    tops = values.reshape(len(values), PARTS, width).min(1).argpartition(count - 1, axis=1)[:, :count]
    places = (tops[:, None] + width * np.arange(PARTS)[:, None]).reshape(len(values), -1)
    found = np.take_along_axis(values, places, 1).argpartition(count - 1, axis=1)[:, :count]
    return np.asarray(np.take_along_axis(places, found, 1))


def _by_leaf(leaf: npt.NDArray[np.int32], count: int) -> tuple[Ints, Ints]:
    """Places sorted by leaf, and where each leaf begins among them: int64 [count + 1]."""
    order = np.argsort(
        leaf.astype(np.uint16) if count < 2**16 else leaf, kind="stable"
    )  # the one by counting
    return order, np.concatenate([[0], np.cumsum(np.bincount(leaf, minlength=count))])
