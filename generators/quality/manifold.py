"""Fidelity and variety apart: precision and recall, density and coverage, by balls around nearest neighbours.

Kynkaanniemi et al., "Improved precision and recall metric for assessing generative models", NeurIPS 2019
(arXiv 1904.06991): a set's manifold is the union of balls, each reaching from an image to its k-th nearest
neighbour in the set. Naeem et al., "Reliable fidelity and diversity metrics for generative models", ICML 2020
(arXiv 2002.09797): density counts balls instead of asking for one, coverage asks which real balls are hit.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from generators.quality.distances import Features, Values, check_pair, distance_blocks, kth_neighbour
from manifests.errors import UsageError


@dataclass(frozen=True)
class Manifold:
    """precision, recall, coverage: 0 to 1. density: 0 and up, about 1 for a perfect generator. k: of the
    neighbour.
    """

    precision: float
    recall: float
    density: float
    coverage: float
    k: int
    n_real: int
    n_fake: int


def _hits(radii: Values, centres: Values, points: Values) -> tuple[Values, Values]:
    """How many balls hold each point [len(points)], and how many points each ball holds [len(centres)]."""
    per_point = []
    per_ball = np.zeros(len(centres))
    for _, block in distance_blocks(points, centres):
        inside = block <= radii
        per_point.append(inside.sum(axis=1))
        per_ball += inside.sum(axis=0)
    return np.concatenate(per_point).astype(np.float64), per_ball


def manifold(real: Features, fake: Features, k: int = 3) -> Manifold:
    """Precision, recall (both papers' k-nearest-neighbour manifolds), density and coverage.

    Args:
        real: float [N, D].
        fake: float [M, D].
        k: neighbour that a ball reaches to; 3 in Kynkaanniemi et al.

    Raises:
        UsageError: k below 1, no more than k images of a kind, or features that do not fit each other.
    """
    if k < 1:
        raise UsageError(f"k {k}", "is not positive", "give 1 or more; 3 is usual")
    x, y = check_pair(real, fake, k + 1)
    per_fake, per_real_ball = _hits(kth_neighbour(x, k), x, y)
    per_real, _ = _hits(kth_neighbour(y, k), y, x)
    return Manifold(
        precision=float((per_fake > 0).mean()),
        recall=float((per_real > 0).mean()),
        density=float(per_fake.mean() / k),
        coverage=float((per_real_ball > 0).mean()),
        k=k,
        n_real=len(x),
        n_fake=len(y),
    )
