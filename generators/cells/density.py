"""Densities of cells in a low-dimensional space: Gaussian mixtures, fitted with shrinkage, drawn with trimmed
tails.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from manifests.seeding import rng_of

Array = npt.NDArray[np.float64]
_TRIM_DRAWS = 4096


@dataclass(frozen=True)
class Mixture:
    """A Gaussian mixture over R^d whose thin outskirts are cut off.

    weights: float64 [k], sum 1. means: float64 [k, d]. factors: float64 [k, d, d], lower Cholesky factors of
    the covariances. threshold: log density below which a draw is thrown away and drawn again (-inf: never).
    """

    weights: Array
    means: Array
    factors: Array
    threshold: float = -math.inf

    @property
    def mean(self) -> Array:
        """float64 [d]."""
        return np.asarray(self.weights @ self.means)

    def log_density(self, x: Array) -> Array:
        """Natural log of p(x): float64 [n, d] -> float64 [n]."""
        dim = self.means.shape[1]
        terms = []
        for weight, mean, factor in zip(self.weights, self.means, self.factors, strict=True):
            y = np.linalg.solve(factor, (x - mean).T)
            constant = math.log(weight) - 0.5 * dim * math.log(2 * math.pi) - np.log(np.diag(factor)).sum()
            terms.append(constant - 0.5 * (y * y).sum(axis=0))
        return np.asarray(np.logaddexp.reduce(terms, axis=0))

    def _once(self, rng: np.random.Generator) -> Array:
        k = int(np.searchsorted(np.cumsum(self.weights), rng.random()))
        k = min(k, len(self.weights) - 1)
        return np.asarray(self.means[k] + self.factors[k] @ rng.standard_normal(self.means.shape[1]))

    def draw(self, rng: np.random.Generator) -> Array:
        """One draw, float64 [d], repeated from the same `rng` until its density reaches the threshold."""
        while True:
            x = self._once(rng)
            if self.threshold == -math.inf or self.log_density(x[None])[0] >= self.threshold:
                return x

    def trimmed(self, share: float) -> Mixture:
        """The same mixture without the `share` of its draws of lowest density, 0 <= share < 1.

        The threshold is a quantile over 4096 draws of the model itself, so a draw is kept with probability 1
        - share.
        """
        if share == 0:
            return Mixture(self.weights, self.means, self.factors)
        rng = rng_of(0, "trim")
        draws = np.stack([self._once(rng) for _ in range(_TRIM_DRAWS)])
        return Mixture(
            self.weights, self.means, self.factors, float(np.quantile(self.log_density(draws), share))
        )


def fit_mixture(x: Array, *, max_components: int, prior: Array, prior_count: float, seed: int = 0) -> Mixture:
    """A Gaussian mixture whose number of components BIC chooses (Schwarz 1978), its covariances shrunk.

    Args:
        x: float64 [n, d], n >= 2.
        max_components: the most that is tried; k is also kept to n / (5 d) or fewer, but at least 1.
        prior: float64 [d, d], the covariance to shrink to.
        prior_count: how many samples the prior counts for: C <- (n_k C + prior_count * prior) / (n_k +
            prior_count).
        seed: of the fit's own starting points.
    """
    from sklearn.mixture import GaussianMixture
    from threadpoolctl import threadpool_limits

    n, dim = x.shape
    most = max(1, min(max_components, n // (5 * dim)))
    settings = {"reg_covar": 1e-3, "random_state": seed, "max_iter": 500, "init_params": "random_from_data"}
    with threadpool_limits(limits=1):
        fits = [GaussianMixture(k, n_init=3 if k > 1 else 1, **settings).fit(x) for k in range(1, most + 1)]
        best = min(fits, key=lambda fit: fit.bic(x))
    counts = best.weights_[:, None, None] * n
    covariances = (counts * best.covariances_ + prior_count * prior) / (counts + prior_count)
    return Mixture(np.asarray(best.weights_), np.asarray(best.means_), np.linalg.cholesky(covariances))
