"""How bright and how sharp the drawn faces of a cell are: held to what is wanted of them. Ours.

An attribute model is surest of a cell in the light that the cell mostly has in its training data, so that
whatever asks it, screening, the mean of the surest latents, verification, takes darker or brighter faces than
the cell has. Mean luma and the logarithm of sharpness are nearly linear in whitened latents: each draw is
given a look of its own, drawn from what is wanted of its cell, and moved to it along these directions, before
the latent reader judges it. So the reader chooses among faces whose look is settled. Directions of an
attribute in latents: Shen et al., arXiv 1907.10786.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from generators.cells.density import Array
from manifests.seeding import rng_of
from manifests.taxonomy import Taxonomy

MEASURES = ("brightness", "contrast", "sharpness")
"""What can be held: mean luma and its standard deviation (0 to 255), variance of the luma's Laplacian."""
LOGARITHMIC = "sharpness"
OWN = "own"
_RIDGE = 30.0
_MOST = 2.5
"""Standard deviations beyond which a look is drawn again: nearly straight is not straight everywhere."""

_STRETCH = (0.5, 2.0)
"""The most that a round changes a spread."""

Wanted = Mapping[str, Any]
"""Measure -> `own`, or cell -> (mean, standard deviation) on the scale of `scaled`."""


def scaled(measured: npt.NDArray[Any]) -> Array:
    """Measures on the scale on which they are held: of sharpness the natural logarithm of 1 + it.

    Args:
        measured: float [n, 3], in the order of `MEASURES`.

    Returns:
        float64 [n, 3].
    """
    out = np.array(measured, np.float64)
    column = MEASURES.index(LOGARITHMIC)
    out[:, column] = np.log1p(out[:, column])
    return out


@dataclass(frozen=True)
class Looks:
    """Linear readers of k measures in whitened latents, and what each cell's draws are given.

    names: of `MEASURES`, in their order. weights: float64 [w_dim, k]. bias: float64 [k]. means: per cell,
    float64 [k], of what the readers shall read. spreads: per cell, float64 [k, k], lower Cholesky factor of
    its covariance. wanted: per cell, float64 [2, k], mean and standard deviation that the pictures shall
    have.
    """

    names: tuple[str, ...]
    weights: Array
    bias: Array
    means: Mapping[str, Array]
    spreads: Mapping[str, Array]
    wanted: Mapping[str, Array]

    def __post_init__(self) -> None:
        k = len(self.names)
        if not k or self.names != tuple(name for name in MEASURES if name in self.names):
            raise ValueError("looks that are not known")
        shapes = {self.bias.shape, *(a.shape for a in self.means.values())}
        if self.weights.shape[1:] != (k,) or shapes != {(k,)}:
            raise ValueError("the looks do not fit each other")
        square = {a.shape for a in self.spreads.values()} == {(k, k)}
        if not square or {a.shape for a in self.wanted.values()} != {(2, k)}:
            raise ValueError("the looks of the cells do not fit each other")

    def read(self, u: Array) -> Array:
        """What pictures of whitened latents will look like: float64 [n, w_dim] -> float64 [n, k]."""
        return np.asarray(u @ self.weights + self.bias)

    def draw(self, cell: str, seed: int, psi: float) -> Array:
        """The look that one face is given, by its seed: float64 [k]; psi shrinks it to the cell's mean."""
        rng = rng_of(seed, "looks")
        while True:
            z = rng.standard_normal(len(self.names))
            if np.abs(z).max() <= _MOST:
                return np.asarray(self.means[cell] + psi * (self.spreads[cell] @ z))

    def move(self, u: Array, look: Array) -> Array:
        """Whitened latents float64 [n, w_dim], moved the shortest way to where the readers read `look`."""
        gram = self.weights.T @ self.weights
        return np.asarray(u + (look - self.read(u)) @ np.linalg.solve(gram, self.weights.T))

    def corrected(self, errors: Mapping[str, Array], stretches: Mapping[str, Array]) -> Looks:
        """The same, whose means make up for `errors` (per cell, what pictures had less what was read), and
        whose spreads are `stretches` times as wide.
        """
        means = {cell: self.wanted[cell][0] - errors[cell] for cell in self.means}
        spreads = {cell: stretches[cell][:, None] * spread for cell, spread in self.spreads.items()}
        return replace(self, means=means, spreads=spreads)


def fit_looks(
    u: Array,
    measured: npt.NDArray[Any],
    labels: Sequence[npt.NDArray[Any]],
    taxonomy: Taxonomy,
    cells: Sequence[str],
    wanted: Wanted,
) -> Looks:
    """Readers of looks by ridge regression, and the look of each cell.

    Args:
        u: float64 [n, w_dim], whitened latents of the generator's own.
        measured: float [n, 3], `MEASURES` of their pictures.
        labels: probabilities by axis of the taxonomy, float [n, classes] each.
        taxonomy: of the cells.
        cells: those that get a look.
        wanted: measures to hold. `own`: mean and spread that the generator's own faces of the cell have,
            every latent counting by its probability of the cell. A mean and standard deviation per cell:
            those. How measures go together is the generator's own either way.

    Raises:
        KeyError: a cell without a mean that is wanted.
    """
    names = tuple(name for name in MEASURES if name in wanted)
    y = scaled(measured)[:, [MEASURES.index(name) for name in names]]
    x = np.concatenate([u, np.ones((len(u), 1))], axis=1)
    solved = np.linalg.solve(x.T @ x + _RIDGE * np.eye(x.shape[1]), x.T @ y)
    read = x @ solved
    unread = (y - read).var(axis=0)
    means, spreads, aims = {}, {}, {}
    for cell in cells:
        shares = _shares(labels, taxonomy, cell)
        aim = np.stack([shares @ y, np.sqrt(shares @ (y - shares @ y) ** 2)])
        for k, name in enumerate(names):
            if wanted[name] != OWN:
                aim[:, k] = wanted[name][cell]
        off = read - shares @ read
        covariance = (off * shares[:, None]).T @ off + 1e-9 * np.eye(len(names))
        # what is not read stays as it is; of what is read at least a half of the wanted spread
        scale = np.sqrt(np.maximum(aim[1] ** 2 - unread, aim[1] ** 2 / 4) / np.diag(covariance))
        means[cell], aims[cell] = aim[0], aim
        spreads[cell] = scale[:, None] * np.linalg.cholesky(covariance)
    return Looks(names, solved[:-1], solved[-1], means, spreads, aims)


def _shares(labels: Sequence[npt.NDArray[Any]], taxonomy: Taxonomy, cell: str) -> Array:
    """Probability of the cell by latent, of sum 1: float64 [n]."""
    parts = taxonomy.parts(cell)
    columns = [
        np.asarray(label, np.float64)[:, classes.index(parts[axis])]
        for label, (axis, classes) in zip(labels, taxonomy.axes.items(), strict=True)
    ]
    joint = np.prod(columns, axis=0)
    return np.asarray(joint / max(joint.sum(), 1e-12))


def calibrate_looks(
    looks: Looks,
    draw: Callable[[Looks, str, int], tuple[Array, npt.NDArray[Any]]],
    *,
    psi: float = 1.0,
    rounds: int = 3,
) -> Looks:
    """Means and spreads that make up for what the linear readers miss of a cell's draws.

    Args:
        looks: as fitted.
        draw: draws of a cell under these looks, in a round: whitened latents float64 [n, w_dim] and the
            `MEASURES` of their pictures, float [n, 3].
        psi: that they are drawn with; it shrinks the spread that is wanted.
        rounds: how often; a moved mean shifts what is missed a little.
    """
    columns = [MEASURES.index(name) for name in looks.names]
    for number in range(rounds):
        errors, stretches = {}, {}
        for cell, aim in looks.wanted.items():
            u, measured = draw(looks, cell, number)
            y = scaled(measured)[:, columns]
            errors[cell] = (y - looks.read(u)).mean(axis=0)
            stretches[cell] = np.clip(psi * aim[1] / np.maximum(y.std(axis=0), 1e-12), *_STRETCH)
        looks = looks.corrected(errors, stretches)
    return looks
