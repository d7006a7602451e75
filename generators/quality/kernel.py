"""Kernel Inception distance: the unbiased squared maximum mean discrepancy of a cubic kernel.

Binkowski et al., "Demystifying MMD GANs", ICLR 2018 (arXiv 1801.01401), with k(x, y) = (x.y / d + 1)^3. They
average over subsets drawn at random, which overlap, so that their spread says little about the error. Here
the subsets are disjoint blocks (Zaremba, Gretton, Blaschko, "B-test", NIPS 2013): each is an independent
unbiased estimate, and the standard error and the bootstrap interval are those of independent values.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from generators.quality.distances import Features, Values, check_pair
from manifests.errors import UsageError
from manifests.seeding import rng_of

LEAST_PER_SUBSET = 10
LARGEST_SUBSET = 1000


@dataclass(frozen=True)
class KernelDistance:
    """mean: of the subsets' estimates; may be below 0, since it is unbiased. low, high: 95 % bootstrap
    interval.
    """

    mean: float
    standard_error: float
    low: float
    high: float
    subsets: int
    subset_size: int


def squared_mmd(real: Features, fake: Features) -> float:
    """Unbiased MMD^2 of two sets (Binkowski et al. 2018, section 3): diagonal terms are left out.

    Args:
        real: float [N, D].
        fake: float [M, D].

    Raises:
        UsageError: fewer than two rows, different D, or values that are not finite.
    """
    x, y = check_pair(real, fake, 2)
    n, m = len(x), len(y)
    within_x, within_y = _cubic(x, x), _cubic(y, y)
    same = (within_x.sum() - np.trace(within_x)) / (n * (n - 1)) + (within_y.sum() - np.trace(within_y)) / (
        m * (m - 1)
    )
    return float(same - 2 * _cubic(x, y).mean())


def _cubic(a: Values, b: Values) -> Values:
    return np.asarray((a @ b.T / a.shape[1] + 1) ** 3)


def kernel_distance(
    real: Features,
    fake: Features,
    *,
    seed: int,
    subsets: int | None = None,
    replicates: int = 2000,
) -> KernelDistance:
    """KID of two sets with its standard error and 95 % interval.

    Args:
        real: float [N, D].
        fake: float [M, D].
        seed: shuffles the rows before they are cut into blocks, and draws the bootstrap.
        subsets: number of disjoint blocks; by default 10, more where a block would exceed 1000 images.
        replicates: bootstrap draws over the blocks' estimates (percentile interval).

    Raises:
        UsageError: fewer than 10 images per subset, fewer than 2 subsets, or features that do not fit each
            other.
    """
    x, y = check_pair(real, fake, 2)
    smaller = min(len(x), len(y))
    count = subsets if subsets is not None else max(10, smaller // LARGEST_SUBSET)
    size = smaller // count if count > 0 else 0
    if count < 2 or size < LEAST_PER_SUBSET:
        raise UsageError(
            f"{smaller} images in {count} subsets",
            f"give {size} each; {LEAST_PER_SUBSET} and two subsets are the least",
            f"give at least {max(count, 2) * LEAST_PER_SUBSET} images of each kind",
        )
    order_x = rng_of(seed, "kernel", "real").permutation(len(x))
    order_y = rng_of(seed, "kernel", "generated").permutation(len(y))
    values = np.array(
        [
            squared_mmd(x[order_x[i * size : (i + 1) * size]], y[order_y[i * size : (i + 1) * size]])
            for i in range(count)
        ]
    )
    draws = rng_of(seed, "kernel", "bootstrap").integers(0, count, (replicates, count))
    low, high = np.quantile(values[draws].mean(axis=1), [0.025, 0.975])
    error = values.std(ddof=1) / np.sqrt(count)
    return KernelDistance(float(values.mean()), float(error), float(low), float(high), count, size)
