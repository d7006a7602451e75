"""Frechet distance of two Gaussians fitted to features: FID where the features are Inception's.

Heusel et al., "GANs trained by a two time-scale update rule converge to a local Nash equilibrium", NeurIPS
2017 (arXiv 1706.08500), equation 6: |mu - nu|^2 + tr(S + T - 2 (S T)^(1/2)). The estimate is biased upwards
by an amount that shrinks with the number of images, so figures compare only at equal numbers.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from generators.quality.distances import Features, Values, check_pair


@dataclass(frozen=True)
class FrechetDistance:
    """value: the distance. rank_deficient: a set has no more images than features, so its covariance is
    singular.
    """

    value: float
    rank_deficient: bool
    n_real: int
    n_fake: int


def _root(matrix: Values) -> Values:
    """Symmetric square root of a positive semi-definite matrix; rounding below 0 counts as 0."""
    values, vectors = np.linalg.eigh(matrix)
    return np.asarray((vectors * np.sqrt(np.clip(values, 0, None))) @ vectors.T)


def gaussian_distance(
    mean: Values, covariance: Values, other_mean: Values, other_covariance: Values
) -> float:
    """Squared Frechet (2-Wasserstein) distance of two Gaussians, never below 0.

    tr (S T)^(1/2) is taken as tr (S^(1/2) T S^(1/2))^(1/2), whose matrix is symmetric: no complex roots
    arise.

    Args:
        mean: float64 [D].
        other_mean: float64 [D].
        covariance: float64 [D, D], positive semi-definite.
        other_covariance: float64 [D, D], positive semi-definite.
    """
    root = _root(covariance)
    middle = root @ other_covariance @ root
    cross = np.sqrt(np.clip(np.linalg.eigvalsh((middle + middle.T) / 2), 0, None)).sum()
    gap = mean - other_mean
    return float(max(0.0, gap @ gap + np.trace(covariance) + np.trace(other_covariance) - 2 * cross))


def frechet_distance(real: Features, fake: Features) -> FrechetDistance:
    """Frechet distance of two sets of features.

    Args:
        real: float [N, D]; its covariance divides by N - 1.
        fake: float [M, D]; its covariance divides by M - 1.

    Raises:
        UsageError: fewer than two rows, different D, or values that are not finite.
    """
    x, y = check_pair(real, fake, 2)
    few = min(len(x), len(y)) <= x.shape[1]
    if few:
        value = _of_few(x, y)
    else:
        covariances = [np.atleast_2d(np.cov(values, rowvar=False)) for values in (x, y)]
        value = gaussian_distance(x.mean(axis=0), covariances[0], y.mean(axis=0), covariances[1])
    return FrechetDistance(value, few, len(x), len(y))


def _of_few(x: Values, y: Values) -> float:
    """The same distance without D x D matrices.

    With S = A^T A and T = B^T B, tr (S T)^(1/2) is the sum of the singular values of A B^T, which is [N, M].
    """
    a = (x - x.mean(axis=0)) / np.sqrt(len(x) - 1)
    b = (y - y.mean(axis=0)) / np.sqrt(len(y) - 1)
    gap = x.mean(axis=0) - y.mean(axis=0)
    cross = np.linalg.svd(a @ b.T, compute_uv=False).sum()
    return float(max(0.0, gap @ gap + (a**2).sum() + (b**2).sum() - 2 * cross))
