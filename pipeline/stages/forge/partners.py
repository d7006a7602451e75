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
from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt

from manifests.mesh148 import INDICES
from pipeline.stages.verify.faces import VerifiedFace

TRIES = 6
"""How many second faces are tried before a target is given up (a pose too far away, no motion to copy, a
gate), unless `forge.tries` says otherwise.
"""
SEARCHED = 100
"""Among how many faces the nearest are looked for."""
POOL = 256
"""Of a pool of twice as many and more a target sees a part of about so many, so that time grows as the
faces do.
"""
MOVING = 4
"""How many times `TRIES` faces are drawn to look for those that move."""
TOGETHER = 64
"""Targets of a pool that are compared with its shapes at one time."""
ROUNDING = 1e-12
"""More than products of vectors of length 1 differ by, however they are summed."""
Vector = npt.NDArray[np.float64]
Place = tuple[str | None, str | None, str | None]
"""Cell, origin and split."""


def place_of(face: VerifiedFace) -> Place:
    """Where its partners are."""
    return face.cell, face.origin, face.split


def points_of(face: VerifiedFace) -> npt.NDArray[np.float32]:
    """Its landmarks: float32 [K, 2], pixels."""
    return np.asarray(face.landmarks, np.float32).reshape(-1, 2)


def _placed(landmarks: npt.ArrayLike | None) -> tuple[Vector, Vector, np.floating]:
    """Landmarks around their middle, float64 [K, 2], that middle, float64 [2], and their size."""
    points = np.asarray(landmarks, np.float64).reshape(-1, 2)
    middle = points.mean(0)
    points = points - middle
    return points, middle, np.linalg.norm(points)


def shape_of(landmarks: npt.ArrayLike | None) -> Vector:
    """Landmarks, [K, 2] or flat, without position and scale: float64 [2K]."""
    points, _, size = _placed(landmarks)
    shape: Vector = (points / size).reshape(-1)
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


class _Pool:
    """The faces of a place, by image_id, and what is compared of them.

    The shapes of one part are held, as float64; of the others their means and sizes alone.
    """

    def __init__(
        self, faces: Sequence[VerifiedFace], given: Mapping[str, int], people: dict[str, int]
    ) -> None:
        self.faces = faces
        self.ids = [face.image_id for face in faces]
        self.people = np.array([people.setdefault(face.identity_id, len(people)) for face in faces])
        self.given = np.array([given[name] for name in self.ids])
        placed = [_placed(face.landmarks) for face in faces]
        self.middles = np.stack([middle for _, middle, _ in placed])
        self.sizes = np.array([size for _, _, size in placed])
        self.part, self.shapes = slice(0, 0), np.zeros((0, 0))
        self.block, self.products = -1, np.zeros((0, 0))

    def shapes_of(self, part: slice) -> Vector:
        """`shape_of` of the faces of a part: float64 [N, 2K]."""
        if part != self.part:
            points = np.stack([np.asarray(face.landmarks, np.float64) for face in self.faces[part]])
            points = points.reshape(len(points), -1, 2) - self.middles[part, None]
            points /= self.sizes[part, None, None]
            self.part, self.shapes, self.block = part, points.reshape(len(points), -1), -1
        return self.shapes

    def nearest_first(
        self, part: slice, target: VerifiedFace, among: npt.NDArray[np.int64]
    ) -> npt.NDArray[np.int64]:
        """These places of a part by their nearness to a target, equally near ones in the order given.

        Of vectors of length 1: the larger the product, the nearer. The next `TOGETHER` faces of the pool are
        compared with one product of matrices, so targets that come in order are quick; what its rounding
        could have turned round is compared again.
        """
        shapes, place = self.shapes_of(part), bisect_left(self.ids, target.image_id) - part.start
        if 0 <= place < len(shapes) and self.faces[part.start + place] is target:
            block, row = divmod(place, TOGETHER)
            if block != self.block:
                self.block, self.products = block, shapes[block * TOGETHER :][:TOGETHER] @ shapes.T
            values = -self.products[row][among]
            order = np.argsort(values)
            if (np.diff(values[order]) > ROUNDING).all():
                return among[order]
        likeness = np.einsum("nk,k->n", shapes, shape_of(target.landmarks))
        return among[np.argsort(-likeness[among], kind="stable")]

    def neighbourhood(self, image_id: str) -> slice:
        """Which faces are looked at for a target: all, or of a large pool its part, the same for all in
        it.
        """
        count = len(self.faces)
        parts = max(1, count // POOL)
        part = min(bisect_left(self.ids, image_id) * parts // count, parts - 1)
        return slice(-(-part * count // parts), -(-(part + 1) * count // parts))


class Partners:
    """Draws second faces for a target among `faces`."""

    def __init__(self, faces: Sequence[VerifiedFace]) -> None:
        pools: dict[Place, list[VerifiedFace]] = defaultdict(list)
        for face in sorted(faces, key=lambda face: face.image_id):
            pools[place_of(face)].append(face)
        given = {face.image_id: number for number, face in enumerate(faces)}
        self.people: dict[str, int] = {}
        self.pools = {place: _Pool(pool, given, self.people) for place, pool in pools.items()}
        self.measures: dict[str, Vector] = {}

    def draw(
        self,
        target: VerifiedFace,
        rng: np.random.Generator,
        kind: str = "near",
        moves: Sequence[str] = (),
        tries: int = TRIES,
    ) -> list[VerifiedFace]:
        """Up to `tries` second faces, the best suited first; none where cell and origin have no other
        identity in this split. Fewer tries give the first of the same faces.

        Args:
            kind: `near`, `nearest` or `moving`.
            moves: the measures whose difference counts as motion.
            tries: in [1, 24], since `moving` looks among `MOVING` times `TRIES`.
        """
        place = place_of(target)
        pool = self.pools.get(place)
        if pool is None:
            return []
        near = pool.neighbourhood(target.image_id)
        others = near.start + np.flatnonzero(pool.people[near] != self.people.get(target.identity_id, -1))
        if kind == "nearest":
            as_given = others[np.argsort(pool.given[others], kind="stable")]
            others = np.sort(as_given[rng.permutation(len(others))[:SEARCHED]])
        order = near.start + pool.nearest_first(near, target, others - near.start)
        if kind == "nearest":
            return [pool.faces[k] for k in order[:tries]]
        nearer = order[: max(TRIES, len(order) // 2)]
        drawn = [pool.faces[k] for k in nearer[rng.permutation(len(nearer))][: MOVING * TRIES]]
        if kind == "moving":
            drawn.sort(key=lambda face: -self._motion(face, target, moves))
        return drawn[:tries]

    def _motion(self, face: VerifiedFace, target: VerifiedFace, moves: Sequence[str]) -> float:
        theirs, ours = self._measures_of(face), self._measures_of(target)
        return float(sum((theirs.get(name, 0.0) - ours.get(name, 0.0)) ** 2 for name in moves))

    def _measures_of(self, face: VerifiedFace) -> dict[str, float]:
        """`measures_of`, found once a face: kept as numbers, since a dictionary takes five times as much."""
        from generators.forgeries.shape_model import MEASURES

        if face.image_id not in self.measures:
            self.measures[face.image_id] = np.array([*measures_of(face.landmarks).values()])
        return dict(zip(MEASURES, self.measures[face.image_id].tolist(), strict=False))
