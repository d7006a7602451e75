"""A fitted model of demographic cells: draws latents of a cell, and goes to a file and back."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from generators.cells.density import Array, Mixture
from generators.cells.files import packed, unpacked
from generators.cells.looks import Looks
from generators.cells.reader import LatentReader
from manifests.atomic import digest_bytes, write_bytes
from manifests.errors import UsageError
from manifests.seeding import rng_of
from manifests.taxonomy import get_taxonomy

SLOPE = 5.0
"""Inverse slope of the mapping network's last leaky ReLU (1 / 0.2)."""


def unfold(w: npt.NDArray[Any], space: str) -> Array:
    """W to the space of the densities: `w` is W, `p` undoes the last leaky ReLU (Zhu et al., arXiv
    2012.09036).
    """
    x = np.asarray(w, np.float64)
    return np.where(x < 0, x * SLOPE, x) if space == "p" else x


def fold(x: Array, space: str) -> Array:
    """The inverse of `unfold`."""
    return np.where(x < 0, x / SLOPE, x) if space == "p" else x


@dataclass(frozen=True)
class CellModel:
    """Demographic cells of a generator's W; made by `generators.cells.fit_cells`.

    A latent is w = fold(mean + L (P a + b)): `a` is drawn from the cell's mixture, `b` from N(0, I - P P^T),
    the density that all cells share. L whitens within cells, the columns of P are orthonormal after
    whitening. With a `reader`, `tries` such latents are drawn, and the one kept that the attribute model will
    most likely read as the cell.

    Attributes:
        taxonomy: its name. space: `p` or `w`; see `unfold`.
        mean: float64 [w_dim]. factor: L, float64 [w_dim, w_dim], lower triangular. basis: P, float64 [w_dim,
            d].
        cells: mixture over R^d per cell. radius2: largest |b|^2 that is kept.
        counts: confident latents that each cell was fitted on.
        hit_rates: share of a cell's draws that the attribute model calls that cell, before any verification.
        generator_sha256, attributes_sha256: the two models that it belongs to.
        params: those of the fit.
        reader: foretells the attribute model's labels; None: the first draw is kept. tries: how many it
            chooses from. sure: the
        first of them that it gives this probability is kept, and the likeliest where none has it (1: always
        the likeliest).
        strengths: per cell, times the `strength` that is asked for.
        shares: share of unconditional latents that are confidently of each cell. anchors: numbers of each
            cell's surest latents;
        latent i is `draw_z(latent_seed, [("latent", i)], z_dim)`.
        looks: what draws of a cell look like; None: as they come.
    """

    taxonomy: str
    space: str
    mean: Array
    factor: Array
    basis: Array
    cells: Mapping[str, Mixture]
    radius2: float
    counts: Mapping[str, int]
    hit_rates: Mapping[str, float] = field(default_factory=dict)
    generator_sha256: str = ""
    attributes_sha256: str = ""
    params: Mapping[str, Any] = field(default_factory=dict)
    reader: LatentReader | None = None
    tries: int = 1
    strengths: Mapping[str, float] = field(default_factory=dict)
    shares: Mapping[str, float] = field(default_factory=dict)
    anchors: Mapping[str, Sequence[int]] = field(default_factory=dict)
    latent_seed: int = 0
    sure: float = 1.0
    looks: Looks | None = None

    @property
    def w_dim(self) -> int:
        return len(self.mean)

    def whiten(self, w: npt.NDArray[np.float32]) -> Array:
        """Latents in whitened coordinates: float32 [n, w_dim] -> float64 [n, w_dim]."""
        return np.asarray(np.linalg.solve(self.factor, (unfold(w, self.space) - self.mean).T).T)

    def _complement(self, seed: int, number: int) -> Array:
        rng = rng_of(seed, "complement", number)
        while True:
            n = rng.standard_normal(self.w_dim)
            b = n - self.basis @ (self.basis.T @ n)
            if b @ b <= self.radius2:
                return np.asarray(b)

    def check(self, cells: Sequence[str]) -> None:
        """Refuse cells that this model cannot draw.

        Raises:
            UsageError: not a cell of the taxonomy, or one that was not fitted.
        """
        for cell in cells:
            get_taxonomy(self.taxonomy).parts(cell)
        missing = [cell for cell in cells if cell not in self.cells]
        if missing:
            raise UsageError(
                f"cells {', '.join(missing)}",
                f"are not in the cell model, which has {', '.join(self.cells)}",
                "fit it for them: fairforge fit-cells (without --only, or with these)",
            )

    def _candidates(self, cell: str, seed: int, psi: float, strength: float) -> Array:
        """`tries` whitened latents of a cell, its first numbers the same under every cell: float64 [tries,
        w_dim].
        """
        mixture, strength = self.cells[cell], strength * self.strengths.get(cell, 1.0)
        centre = mixture.mean
        rows = []
        for number in range(self.tries):
            a = mixture.draw(rng_of(seed, "cell", number))
            rows.append(
                self.basis @ (strength * centre + psi * (a - centre)) + psi * self._complement(seed, number)
            )
        return np.stack(rows)

    def _scores(self, cell: str, u: Array) -> Array:
        """How likely the attribute model reads each as the cell, log: float64 [n]; all alike without a
        reader.
        """
        if self.reader is None:
            return np.zeros(len(u))
        taxonomy = get_taxonomy(self.taxonomy)
        parts = taxonomy.parts(cell)
        return self.reader.score(u, [classes.index(parts[axis]) for axis, classes in taxonomy.axes.items()])

    def _choice(self, scores: Array) -> int:
        """The first draw that is sure enough, else the likeliest: taking the likeliest always makes a cell's
        faces alike.
        """
        sure = np.flatnonzero(scores >= math.log(self.sure))
        return int(sure[0]) if len(sure) and self.sure < 1 else int(scores.argmax())

    def _looked(self, cell: str, u: Array, seed: int, psi: float) -> Array:
        """Whitened latents moved to the look that the face of this seed is given; as they are without
        looks.
        """
        return u if self.looks is None else self.looks.move(u, self.looks.draw(cell, seed, psi))

    def _folded(self, u: Array) -> npt.NDArray[np.float32]:
        return fold(self.mean + self.factor @ u, self.space).astype(np.float32)

    def sample(
        self, cell: str, seeds: Sequence[int], *, psi: float = 1.0, strength: float = 1.0
    ) -> npt.NDArray[np.float32]:
        """Latents of a cell.

        Row i depends on seeds[i] alone. Independent samples need seeds of their own, e.g.
        `seed_of(run_seed, "sample", cell, index)`.

        Args:
            cell: a cell of the model's taxonomy.
            seeds: one int >= 0 per sample.
            psi: shrink towards the *cell's own* mean (1: not at all). Truncation towards the mean of all
                latents would move every cell towards the most frequent one (arXiv 2209.02836).
            strength: times the cell's mean, counted from the mean of all cells (1: as fitted). Above 1 more
                draws hit their cell, and they look more typical of it than the generator's own.

        Returns:
            w: float32 [len(seeds), w_dim].

        Raises:
            UsageError: not a cell of the taxonomy, or one that was not fitted.
        """
        self.check([cell])
        rows = []
        for seed in seeds:
            u = self._looked(cell, self._candidates(cell, int(seed), psi, strength), int(seed), psi)
            rows.append(self._folded(u[self._choice(self._scores(cell, u))]))
        return np.stack(rows) if rows else np.zeros((0, self.w_dim), np.float32)

    def screen(
        self,
        cell: str,
        draws: Iterable[npt.NDArray[np.float32]],
        *,
        seed: int = 0,
        psi: float = 1.0,
        strength: float = 1.0,
    ) -> npt.NDArray[np.float32]:
        """A latent of a cell out of the generator's own, moved towards the cell by `strength` times its mean.

        Args:
            draws: latents float32 [n, w_dim] each, `tries` in all are looked at.
            seed: of the look that all of them are given, where the model has looks.
            psi: shrinks them towards where the mean of all cells is moved. Others as `sample`.

        Returns:
            w: float32 [w_dim], the first that the reader is sure of, else the likeliest; without a reader the
                first.

        Raises:
            UsageError: not a cell of the taxonomy, or one that was not fitted.
        """
        self.check([cell])
        shift = self.basis @ (strength * self.strengths.get(cell, 1.0) * self.cells[cell].mean)
        left, best, found = self.tries if self.reader is not None else 1, -math.inf, shift
        for w in draws:
            u = self._looked(cell, shift + psi * self.whiten(w[:left]), seed, psi)
            scores = self._scores(cell, u)
            chosen = self._choice(scores)
            if scores[chosen] > best:
                best, found = float(scores[chosen]), u[chosen]
            left -= len(u)
            if left <= 0 or (self.sure < 1 and best >= math.log(self.sure)):
                break
        return self._folded(found)

    def sample_counterfactual(
        self, cells: Sequence[str], seed: int, *, psi: float = 1.0, strength: float = 1.0
    ) -> npt.NDArray[np.float32]:
        """The same face under every cell: one complement draw, and the same random numbers inside each cell.

        Only what makes a cell differs between the rows; they are not moved to their cells' looks.
        Of `tries` such sets the one is kept whose least likely member the reader finds likeliest. Arguments
        as `sample`.

        Returns:
            w: float32 [len(cells), w_dim].
        """
        every = [self._candidates(cell, int(seed), psi, strength) for cell in cells]
        worst = np.min([self._scores(cell, u) for cell, u in zip(cells, every, strict=True)], axis=0)
        return np.stack([self._folded(u[int(worst.argmax())]) for u in every])

    def project(self, w: npt.NDArray[np.float32]) -> tuple[Array, Array]:
        """Whitened coordinates of latents: (a float64 [n, d], b float64 [n, w_dim]), cell part and
        complement.
        """
        u = self.whiten(w)
        a = u @ self.basis
        return a, u - a @ self.basis.T

    def with_hit_rates(self, hit_rates: Mapping[str, float]) -> CellModel:
        """The same model with measured hit rates, by cell, 0 to 1."""
        return replace(self, hit_rates=dict(hit_rates))

    def to_bytes(self) -> bytes:
        """The model as safetensors; the same model gives the same bytes."""
        return packed(self)

    @property
    def sha256(self) -> str:
        """sha256 of `to_bytes`, hex."""
        return digest_bytes(self.to_bytes())

    def save(self, path: Path | str) -> None:
        """Write the model atomically.

        Raises:
            PartialError: the disk is full. UsageError: the folder cannot be written.
        """
        write_bytes(path, self.to_bytes())

    @classmethod
    def load(cls, path: Path | str) -> CellModel:
        """Read a model.

        Raises:
            MissingError: no such file. DataError: not a cell model, truncated, or of another format.
        """
        return cls(**unpacked(path))
