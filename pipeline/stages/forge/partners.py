"""Who gives identity or motion: a face of the same cell, origin and split, of another identity, that suits
the method.

A frontal face on a profile is no forgery anybody would make, so all kinds of partner come from the nearer
half of the candidates, by landmarks without place and scale:

- `near`: drawn at random.
- `nearest`: the nearest of a hundred drawn at random, nearest first (Li et al., "Face X-ray", CVPR 2020).
- `moving`: drawn at random, then those that would move the target most from the target's first.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import defaultdict
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from manifests.mesh148 import INDICES
from pipeline.stages.verify.faces import VerifiedFace

TRIES = 6
"""How many second faces are tried before a target is given up (a pose too far away, no motion to copy, a
gate).
"""
SEARCHED = 100
"""Among how many faces the nearest are looked for."""
POOL = 2048
"""Of a pool of twice as many and more a target sees a part of about so many, so that time grows as the
faces do.
"""
MOVING = 4
"""How many times `TRIES` faces are drawn to look for those that move."""
Vector = npt.NDArray[np.float64]
Place = tuple[str | None, str | None, str | None]
"""Cell, origin and split."""


def place_of(face: VerifiedFace) -> Place:
    """Where its partners are."""
    return face.cell, face.origin, face.split


def points_of(face: VerifiedFace) -> npt.NDArray[np.float32]:
    """Its landmarks: float32 [K, 2], pixels."""
    return np.asarray(face.landmarks, np.float32).reshape(-1, 2)


def shape_of(landmarks: npt.ArrayLike | None) -> Vector:
    """Landmarks, [K, 2] or flat, without position and scale: float64 [2K]."""
    points = np.asarray(landmarks, np.float64).reshape(-1, 2)
    points = points - points.mean(0)
    shape: Vector = (points / np.linalg.norm(points)).reshape(-1)
    return shape


def measures_of(landmarks: npt.ArrayLike | None) -> dict[str, float]:
    """The measures of pose and expression, in their standard deviations, by name; none for another landmark
    scheme.
    """
    from generators.forgeries.shape_model import MEASURES, measure, shape_model

    points = np.asarray(landmarks, np.float32).reshape(-1, 2)
    if len(points) != len(INDICES):
        return {}
    model = shape_model()
    values = measure(model.normalise(points)[0]) / model.spread
    return dict(zip(MEASURES, values.tolist(), strict=True))


class Partners:
    """Draws second faces for a target among `faces`."""

    def __init__(self, faces: Sequence[VerifiedFace]) -> None:
        self.pools: dict[Place, list[VerifiedFace]] = defaultdict(list)
        for face in sorted(faces, key=lambda face: face.image_id):
            self.pools[place_of(face)].append(face)
        self.shapes = {
            place: np.stack([shape_of(face.landmarks) for face in pool]) for place, pool in self.pools.items()
        }
        self.identities = {
            place: np.array([face.identity_id for face in pool]) for place, pool in self.pools.items()
        }
        given = {face.image_id: number for number, face in enumerate(faces)}
        self.given = {
            place: np.array([given[face.image_id] for face in pool]) for place, pool in self.pools.items()
        }
        self.measures = {face.image_id: measures_of(face.landmarks) for face in faces}

    def _neighbourhood(self, place: Place, image_id: str) -> slice:
        """Which faces of a pool are looked at for a target: all, or of a large one its part, the same for
        all in it.
        """
        pool = self.pools[place]
        parts = max(1, len(pool) // POOL)
        part = bisect_left(pool, image_id, key=lambda face: face.image_id) * parts // len(pool)
        part = min(part, parts - 1)
        return slice(-(-part * len(pool) // parts), -(-(part + 1) * len(pool) // parts))

    def draw(
        self,
        target: VerifiedFace,
        rng: np.random.Generator,
        kind: str = "near",
        moves: Sequence[str] = (),
    ) -> list[VerifiedFace]:
        """Up to `TRIES` second faces, the best suited first; none where cell and origin have no other
        identity in this split.

        Args:
            kind: `near`, `nearest` or `moving`. moves: the measures whose difference counts as motion.
        """
        place = place_of(target)
        pool = self.pools.get(place, [])
        if not pool:
            return []
        near = self._neighbourhood(place, target.image_id)
        others = near.start + np.flatnonzero(self.identities[place][near] != target.identity_id)
        if kind == "nearest":
            as_given = others[np.argsort(self.given[place][others], kind="stable")]
            others = np.sort(as_given[rng.permutation(len(others))[:SEARCHED]])
        # Of vectors of length 1: the larger the product, the nearer.
        likeness = np.einsum("nk,k->n", self.shapes[place][near], shape_of(target.landmarks))
        # Equally near ones: by image_id.
        order = others[np.argsort(-likeness[others - near.start], kind="stable")]
        if kind == "nearest":
            return [pool[k] for k in order[:TRIES]]
        nearer = order[: max(TRIES, len(order) // 2)]
        drawn = [pool[k] for k in nearer[rng.permutation(len(nearer))][: MOVING * TRIES]]
        if kind == "moving":
            drawn.sort(key=lambda face: -self._motion(face, target, moves))
        return drawn[:TRIES]

    def _motion(self, face: VerifiedFace, target: VerifiedFace, moves: Sequence[str]) -> float:
        theirs, ours = (self.measures[row.image_id] for row in (face, target))
        return float(sum((theirs.get(name, 0.0) - ours.get(name, 0.0)) ** 2 for name in moves))
