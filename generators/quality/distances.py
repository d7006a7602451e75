"""Euclidean distances between two sets of features, a block of rows at a time."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt

from manifests.errors import UsageError

Features = npt.NDArray[np.floating[Any]]
Values = npt.NDArray[np.float64]

BLOCK_ELEMENTS = 1 << 23
"""Distances held at once: 64 MiB of float64."""


def check_features(features: Features, name: str, least: int = 1) -> Values:
    """`features` as float64 [N, D].

    Raises:
        UsageError: not two-dimensional, fewer than `least` rows, or values that are not finite.
    """
    values = np.asarray(features, np.float64)
    if values.ndim != 2 or values.shape[1] == 0:
        raise UsageError(f"{name} features {list(values.shape)}", "are not [N, D]", "give one row per image")
    if len(values) < least:
        raise UsageError(
            f"{len(values)} {name} images", f"are too few: {least} are needed", "give more images"
        )
    if not np.isfinite(values).all():
        raise UsageError(f"{name} features", "have values that are not finite", "look for broken images")
    return values


def check_pair(real: Features, fake: Features, least: int) -> tuple[Values, Values]:
    """Both sets as float64; errors as `check_features`, and a different number of columns."""
    left, right = check_features(real, "real", least), check_features(fake, "generated", least)
    if left.shape[1] != right.shape[1]:
        raise UsageError(
            f"features of {left.shape[1]} and {right.shape[1]} columns",
            "cannot be compared",
            "use one feature space",
        )
    return left, right


def distance_blocks(a: Values, b: Values, elements: int = BLOCK_ELEMENTS) -> Iterator[tuple[int, Values]]:
    """`(start, block)`: Euclidean distances of rows start, start + 1, ... of `a` to all rows of `b`.

    Args:
        a: float64 [N, D].
        b: float64 [M, D].
        elements: most distances in one block (at least one row is done at a time).

    Yields:
        float64 [rows, M]. By |x|^2 + |y|^2 - 2 x.y about the mean of `b`; rows that are equal may differ from
        0 by about 1e-7 of their norm.
    """
    centre = b.mean(axis=0)
    a, b = a - centre, b - centre
    squares = np.einsum("ij,ij->i", b, b)
    rows = max(1, elements // max(1, len(b)))
    for start in range(0, len(a), rows):
        part = a[start : start + rows]
        block = part @ (-2 * b.T)
        block += squares
        block += np.einsum("ij,ij->i", part, part)[:, None]
        np.maximum(block, 0, out=block)
        yield start, np.sqrt(block, out=block)


def nearest(a: Values, b: Values) -> Values:
    """Distance of each row of `a` to its nearest row of `b`: float64 [N]."""
    return np.concatenate([block.min(axis=1) for _, block in distance_blocks(a, b)])


def kth_neighbour(a: Values, k: int) -> Values:
    """Distance of each row to its k-th nearest other row: float64 [N]. `a` has more than k rows."""
    out = []
    for start, block in distance_blocks(a, a):
        at = np.arange(len(block))
        block[at, start + at] = np.inf
        out.append(np.partition(block, k - 1, axis=1)[:, k - 1])
    return np.concatenate(out)


def mean_pairwise(features: Features) -> float:
    """Mean Euclidean distance between two different rows.

    Raises:
        UsageError: fewer than two rows, or not finite [N, D].
    """
    a = check_features(features, "given", 2)
    total = 0.0
    for start, block in distance_blocks(a, a):
        at = np.arange(len(block))
        block[at, start + at] = 0
        total += float(block.sum())
    return total / (len(a) * (len(a) - 1))
