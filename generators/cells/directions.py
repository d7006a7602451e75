"""Directions in latent space: how a latent moves when what is measured of its picture shall change by so
much.

Fitted on labelled draws of a generator (pictures whose landmarks and attributes were read). Labels are
regressed on whitened latents (ridge); a change is the shortest step that the regression says makes it while
every other label stays, as in InterFaceGAN's conditional manipulation (Shen et al., CVPR 2020, there by
projection of one hyperplane's normal on others) `[recon]`. Steps are taken in space P, where latents are
close to Gaussian (Zhu et al., arXiv 2012.09036; see `generators.cells.model.unfold`), are cut to a length,
and the moved latent is brought back to the distance from the mean that it had: a longer latent is a less
likely one, and its picture falls apart.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from generators.cells.model import fold, unfold
from manifests.atomic import canonical_json, write_bytes
from manifests.errors import DataError, UsageError
from nn.safetensors_files import read_arrays, read_header, tensor_bytes

FORMAT = "fairforge-directions-1"
SPACE = "p"
SHRINKAGE = 0.02
"""Share of the mean variance that is added to every variance of the latents."""
RIDGE = 100.0
"""Of the regression of standardised labels on whitened latents."""
JOINT_RIDGE = 0.2
"""Of the joint solution, times the mean squared length of the labels' directions: labels that nearly say the
same (both brows) would else ask for steps far beyond what the generator knows.
"""
MIN_DRAWS = 64
Array = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Directions:
    """Steps in the whitened space of a generator's latents.

    names: of the labels. mean: float64 [w_dim], in space P. root: float64 [w_dim, w_dim], from the whitened
    space to P; inverse: back. steps: float64 [labels, w_dim], whitened, for one unit of a label while the
    others stay. explained: share of each label's variance that the latents explain, on draws that the fit did
    not see. generator_sha256: whose latents. made: what else the fit depends on, strings.
    """

    names: tuple[str, ...]
    mean: Array
    root: Array
    inverse: Array
    steps: Array
    explained: tuple[float, ...]
    generator_sha256: str
    made: Mapping[str, str]

    def move(
        self, w: npt.NDArray[np.floating], changes: Mapping[str, float], max_step: float
    ) -> npt.NDArray[np.float32]:
        """A latent after its labels change.

        Args:
            w: float [..., w_dim].
            changes: by label's name, in its units; labels that are not named stay.
            max_step: longest step, in standard deviations of the latents.

        Returns:
            float32, the shape of `w`.

        Raises:
            UsageError: an unknown label, or latents of another dimension.
        """
        unknown = sorted(set(changes) - set(self.names))
        if unknown:
            raise UsageError(
                f"directions {', '.join(unknown)}", "are not known", f"there are: {', '.join(self.names)}"
            )
        if w.shape[-1] != len(self.mean):
            raise UsageError(
                f"latents of dimension {w.shape[-1]}",
                f"do not fit directions of {len(self.mean)}",
                "use their generator's",
            )
        step = np.array([changes.get(name, 0.0) for name in self.names]) @ self.steps
        step = step * min(1.0, max_step / max(float(np.linalg.norm(step)), 1e-12))
        before = (unfold(w, SPACE) - self.mean) @ self.inverse.T
        after = before + step
        length = np.linalg.norm(before, axis=-1, keepdims=True) / np.maximum(
            np.linalg.norm(after, axis=-1, keepdims=True), 1e-12
        )
        moved = self.mean + (after * np.minimum(1.0, length)) @ self.root.T
        return fold(moved, SPACE).astype(np.float32)

    def to_bytes(self) -> bytes:
        """As safetensors; the same directions give the same bytes."""
        header = {
            "format": FORMAT,
            "names": list(self.names),
            "explained": [round(v, 4) for v in self.explained],
            "generator_sha256": self.generator_sha256,
            "made": dict(self.made),
        }
        arrays = {
            name: np.ascontiguousarray(getattr(self, name)) for name in ("mean", "root", "inverse", "steps")
        }
        return tensor_bytes(arrays, {"directions": canonical_json(header)})

    def save(self, path: Path | str) -> None:
        """Write atomically; errors as `manifests.atomic.write_bytes`."""
        write_bytes(path, self.to_bytes())


def fit_directions(
    w: npt.NDArray[np.floating],
    labels: Mapping[str, npt.NDArray[np.floating]],
    *,
    generator_sha256: str,
    made: Mapping[str, str] | None = None,
) -> Directions:
    """Fit directions to labelled latents.

    Args:
        w: float [N, w_dim].
        labels: float [N] each, by name: what shall be moved, and what shall stay.
        generator_sha256: see `Directions`.
        made: see `Directions`.

    Raises:
        DataError: too few draws, or a label that is the same for all of them or not finite; it is named.
    """
    values = np.stack(list(labels.values()), 1).astype(np.float64)
    bad = [
        name
        for name, column in zip(labels, values.T, strict=True)
        if not np.isfinite(column).all() or np.ptp(column) < 1e-9
    ]
    if bad or len(w) < MIN_DRAWS:
        why = f"need {MIN_DRAWS} draws, got {len(w)}"
        if bad:
            why = f"cannot be fitted to {', '.join(bad)}: the same everywhere, or not finite"
        raise DataError("latent directions", why, "draw more latents, or use a generator of faces")
    x = unfold(np.asarray(w), SPACE)
    mean = x.mean(0)
    covariance = np.cov(x.T)
    covariance += SHRINKAGE * np.trace(covariance) / len(covariance) * np.eye(len(covariance))
    spectrum, vectors = np.linalg.eigh(covariance)
    root, inverse = vectors * np.sqrt(spectrum), (vectors / np.sqrt(spectrum)).T
    u = (x - mean) @ inverse.T
    deviation = values.std(0)
    standard = (values - values.mean(0)) / deviation
    weights = _ridge(u, standard)
    gram = weights.T @ weights
    gram += JOINT_RIDGE * np.trace(gram) / len(gram) * np.eye(len(gram))
    steps = np.linalg.solve(gram, weights.T) / deviation[:, None]
    seen = np.arange(len(u)) % 5 != 0
    error = standard[~seen] - u[~seen] @ _ridge(u[seen], standard[seen])
    explained = 1 - (error**2).mean(0) / np.maximum(standard[~seen].var(0), 1e-12)
    return Directions(
        tuple(labels),
        mean,
        root,
        inverse,
        steps,
        tuple(map(float, explained)),
        generator_sha256,
        dict(made or {}),
    )


def _ridge(u: Array, standard: Array) -> Array:
    solved: Any = np.linalg.solve(u.T @ u + RIDGE * np.eye(u.shape[1]), u.T @ standard)
    return solved


def read_directions(path: Path | str) -> Directions:
    """Read a file of directions.

    Raises:
        MissingError: no such file. DataError: not such a file, truncated, or of another format.
    """
    header = read_header(path, "directions")
    try:
        if header.get("format") != FORMAT:
            raise ValueError(f"its format is {header.get('format')!r}, not {FORMAT!r}")
        arrays = read_arrays(path)
        mean, root, inverse, steps = (arrays[name] for name in ("mean", "root", "inverse", "steps"))
        names, dim = tuple(header["names"]), len(mean)
        if steps.shape != (len(names), dim) or root.shape != (dim, dim) or inverse.shape != (dim, dim):
            raise ValueError("its arrays do not fit each other")
        return Directions(
            names,
            mean,
            root,
            inverse,
            steps,
            tuple(header["explained"]),
            header["generator_sha256"],
            header["made"],
        )
    except (KeyError, TypeError, ValueError) as error:
        raise DataError(
            str(path), f"is not a file of latent directions ({error})", "fit them again: fairforge forge"
        ) from error
