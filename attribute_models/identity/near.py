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
    looking, there = embeddings[queries], embeddings[members]
    ones, halves = np.ones((len(looking), 1), np.float32), np.full((len(there), 1), -0.5, np.float32)
    looking = np.concatenate([looking, squares[queries][:, None], ones], 1)
    there = np.concatenate([there, halves, halves * squares[members][:, None]], 1)
    rough = looking @ there.T
    # Twice the rounding of a product of D terms (Higham, Accuracy and stability, 3.5).
    most = squares[queries].max(initial=0) + squares[members].max(initial=0)
    margin = 4 * (embeddings.shape[1] + 4) * np.finfo(np.float32).eps * most
    row, column = np.divmod(np.flatnonzero(rough >= -0.5 * (distance**2 + margin)), max(len(members), 1))
    left, right = queries[row], members[column]
    left, right = np.minimum(left, right), np.maximum(left, right)
    apart = np.flatnonzero(left != right)
    left, right = left[apart], right[apart]
    kept = np.linalg.norm(embeddings[left] - embeddings[right], axis=1).astype(np.float64) < distance
    return np.stack([left[kept], right[kept]], 1)


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
    points, own = embeddings[pivots], squares[pivots]
    probes = min(probes, len(pivots))
    looks, leaf = np.empty((count, probes), np.int32), np.empty(count, np.int32)
    for at in range(0, count, BLOCK):
        part = slice(at, at + BLOCK)
        rough = own - 2 * (embeddings[part] @ points.T)
        leaf[part] = rough.argmin(1)
        looks[part] = rough.argpartition(probes - 1, axis=1)[:, :probes]
    members, first_member = _by_leaf(leaf, len(pivots))
    lookers, first_looker = _by_leaf(looks.reshape(-1), len(pivots))
    for one in watched(range(len(pivots)), "comparing identities", "leaves"):
        inside = members[first_member[one] : first_member[one + 1]]
        looking = lookers[first_looker[one] : first_looker[one + 1]] // probes
        for at in range(0, len(looking), BLOCK):
            yield looking[at : at + BLOCK], inside


def _by_leaf(leaf: npt.NDArray[np.int32], count: int) -> tuple[Ints, Ints]:
    """Places sorted by leaf, and where each leaf begins among them: int64 [count + 1]."""
    order = np.argsort(leaf, kind="stable")
    return order, np.searchsorted(leaf[order], np.arange(count + 1))
