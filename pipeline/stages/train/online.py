"""Fakes drawn anew while a detector trains: the registered methods, with partners of the same cell and
origin.

`build_forge(weights, params)` gives what `detector.training.loop.train` takes. Which method, which partner
and every draw of a fake follow from (seed, epoch, image), so any number of workers and a resumed training
make the same bytes.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from detector.training.online import Base, BuildForge, Made
from detector.training.settings import ONLINE
from manifests.errors import DataError, UsageError
from manifests.images import Image, read_image
from manifests.records import Face, Points
from manifests.seeding import rng_of
from pipeline.stages.forge.partners import SEARCHED, TRIES, measures_of, shape_of
from pipeline.stages.train.base_scale import rescaled

if TYPE_CHECKING:
    from generators.forgeries import Forger

Vectors = npt.NDArray[np.float64]
Place = tuple[str | None, str | None]
"""Cell and origin: where second faces come from."""


@dataclass(frozen=True)
class Pool:
    """Bases of one cell and origin. members: int64 [N], their places among all bases. shapes: float64 [N,
    2K].
    """

    members: npt.NDArray[np.int64]
    shapes: Vectors


def _place(base: Base) -> Place:
    return base.cell, base.origin


def _pools(bases: Sequence[Base]) -> dict[Place, Pool]:
    by_place: dict[Place, list[int]] = defaultdict(list)
    for k, base in enumerate(bases):
        by_place[_place(base)].append(k)
    return {
        place: Pool(np.array(members), np.stack([shape_of(bases[k].landmarks) for k in members]))
        for place, members in by_place.items()
    }


class OnlineForge:
    """Makes fakes of `bases`; see `detector.training.online.Forge`.

    weights: per method. params: per method, others by default. scales: see `build_forge`.
    """

    def __init__(
        self,
        weights: Mapping[str, float],
        params: Mapping[str, Mapping[str, Any]],
        bases: Sequence[Base],
        scales: tuple[float, float] | None = None,
    ) -> None:
        self.weights = {name: float(weight) for name, weight in weights.items() if weight > 0}
        self.params = {name: dict(values) for name, values in params.items()}
        self.bases, self.scales = list(bases), scales
        self._forgers: dict[str, Forger] = {}
        self._by_cell: dict[Place, Pool] | None = None

    def __getstate__(self) -> dict[str, Any]:
        """Without what a worker builds again."""
        return {**self.__dict__, "_forgers": {}, "_by_cell": None}

    @property
    def families(self) -> dict[str, str]:
        """Family of each method, in the order of the weights."""
        from generators.forgeries import FORGERIES

        return {name: FORGERIES.get(name).family for name in self.weights}

    def digests(self) -> dict[str, str]:
        """sha256 of the weights that the methods draw with, by method and parameter."""
        return online_digests(self.weights, self.params)

    def unusable(self) -> dict[int, str]:
        """Bases whose landmarks no method takes: their place and the reason."""
        from generators.forgeries.checks import ForgeryError, check_face

        schemes = tuple({scheme for name in self.weights for scheme in self._forger(name).schemes})
        out = {}
        for k, base in enumerate(self.bases):
            try:
                check_face(self._face(k, np.zeros((base.height, base.width, 3), np.uint8)), schemes)
            except ForgeryError as error:
                out[k] = error.reason
        return out

    def method(self, k: int, seed: int, epoch: int) -> str:
        """The first method of `_order`."""
        return self._order(k, seed, epoch)[0]

    def real(self, k: int, seed: int, epoch: int) -> Image | None:
        """The picture that this epoch's fake of base `k` is made of; None: as it is stored."""
        return None if self.scales is None else self._read(k, seed, epoch).image

    def make(self, k: int, seed: int, epoch: int) -> Made:
        """The fake of base `k`: by its method and the partners drawn, else by the other methods in a drawn
        order.

        Raises:
            DataError: nothing worked; the reason is the last one.
        """
        from generators.forgeries.checks import ForgeryError

        base, refused = self.bases[k], 0
        target, last = self._read(k, seed, epoch), "no_partner_in_cell"
        for name in self._order(k, seed, epoch):
            for number, partner in enumerate(self._partners(name, k, seed, epoch)):
                try:
                    other = None if partner is None else self._read(partner, seed, epoch)
                    draws = rng_of(seed, "online", epoch, name, base.image_id, number)
                    made = self._forger(name).forge(target, other, draws)
                except ForgeryError as error:
                    last, refused = error.reason, refused + 1
                    continue
                return Made(made.image, made.mask, refused)
        raise DataError(
            f"face {base.image_id}",
            f"gives no fake ({last})",
            "leave it out, or add blend-self to train.online",
        )

    def _order(self, k: int, seed: int, epoch: int) -> list[str]:
        """All methods in an order drawn by their weights (without replacement)."""
        names, weights = list(self.weights), np.array(list(self.weights.values()))
        rng = rng_of(seed, "online method", epoch, self.bases[k].image_id)
        keys = (
            rng.exponential(size=len(names)) / weights
        )  # the smallest is drawn with a chance in proportion to its weight
        return [names[i] for i in np.argsort(keys, kind="stable")]

    def _forger(self, name: str) -> Forger:
        from generators.forgeries import get

        if name not in self._forgers:
            self._forgers[name] = get(name)(self.params.get(name))
        return self._forgers[name]

    def _read(self, k: int, seed: int, epoch: int) -> Face:
        """A base as this epoch has it: resampled where that is asked for."""
        base = self.bases[k]
        image = read_image(base.file)
        if self.scales is None:
            return self._face(k, image)
        image, landmarks = rescaled(
            image, base.landmarks, self.scales, rng_of(seed, "online base", epoch, base.image_id)
        )
        return self._face(k, image, landmarks)

    def _face(self, k: int, image: Image, landmarks: Points | None = None) -> Face:
        base = self.bases[k]
        return Face(
            image_id=base.image_id,
            image=image,
            landmarks=base.landmarks if landmarks is None else landmarks,
            landmark_scheme=base.landmark_scheme,
            cell=base.cell,
            identity_id=base.identity_id,
        )

    def _partners(self, name: str, k: int, seed: int, epoch: int) -> list[int | None]:
        """Second faces to try, the best suited first, among faces of the place drawn anew; one None where
        none is used.
        """
        from generators.forgeries import FORGERIES

        facts = FORGERIES.get(name).facts
        if facts["uses"] == "none":
            return [None] * TRIES
        if self._by_cell is None:
            self._by_cell = _pools(self.bases)
        base, pool = self.bases[k], self._by_cell[_place(self.bases[k])]
        rng = rng_of(seed, "online partner", epoch, name, base.image_id)
        places = rng.choice(len(pool.members), min(SEARCHED, len(pool.members)), replace=False)
        places = np.array([p for p in places if not _same(self.bases[pool.members[p]], base)], np.int64)
        own = shape_of(base.landmarks)
        near = places[np.argsort(np.linalg.norm(pool.shapes[places] - own, axis=1), kind="stable")]
        if facts["partner"] != "nearest":
            near = rng.permutation(near[: max(TRIES, len(near) // 2)])
        chosen = [int(pool.members[p]) for p in near[: 4 * TRIES if facts["partner"] == "moving" else TRIES]]
        if facts["partner"] == "moving":
            chosen.sort(key=lambda other: -self._motion(other, k, facts["moves"]))
        return list(chosen[:TRIES])

    def _motion(self, other: int, k: int, moves: Sequence[str]) -> float:
        theirs, ours = (measures_of(self.bases[place].landmarks) for place in (other, k))
        return sum((theirs.get(name, 0.0) - ours.get(name, 0.0)) ** 2 for name in moves)


def _same(one: Base, other: Base) -> bool:
    """Whether two bases are one picture or one person."""
    return one.image_id == other.image_id or (
        one.identity_id is not None and one.identity_id == other.identity_id
    )


def online_digests(weights: Mapping[str, float], params: Mapping[str, Mapping[str, Any]]) -> dict[str, str]:
    """sha256 of the weights that the methods of `train.online` draw with, by method and parameter; errors as
    `weight_digests`.
    """
    from generators.forgeries.weight_digests import weight_digests

    return {
        f"{method}.{name}": digest
        for method, weight in weights.items()
        if weight > 0
        for name, digest in weight_digests(method, params.get(method)).items()
    }


def build_forge(
    weights: Mapping[str, float],
    params: Mapping[str, Mapping[str, Any]],
    base_scale: Sequence[float] = (),
) -> BuildForge | None:
    """What `detector.training.loop.train` takes as `build_forge`; None where no method is asked for.

    Args:
        weights: `train.online`.
        params: `train.online_params`.
        base_scale: `train.base_scale`, the smallest and largest share of their sides that bases are resampled
            to, the real picture and its fake alike; empty: they are as they are stored.

    Raises:
        UsageError: no weight above 0, an unknown method or parameter, parameters of a method that is not
            drawn, or a method that needs latents.
    """
    from generators.forgeries import FORGERIES, get

    if not weights:
        return None
    if not any(weight > 0 for weight in weights.values()):
        raise UsageError(
            "train.online", "gives no method a weight above 0", "give at least one, such as blend-self = 1"
        )
    stray = [name for name in params if name not in weights]
    if stray:
        raise UsageError(
            f"train.online_params.{stray[0]}", "is not among train.online", f"it has: {', '.join(weights)}"
        )
    for name in weights:
        get(name)(params.get(name))
        if FORGERIES.get(name).facts["latent"]:
            raise UsageError(
                f"train.online {name!r}",
                "needs latents, which a manifest does not hold",
                "choose another method",
            )

    scales = (float(base_scale[0]), float(base_scale[1])) if base_scale else None

    def build(bases: Sequence[Base]) -> OnlineForge:
        return OnlineForge(weights, params, bases, scales)

    return build


def forge_of(settings: Mapping[str, Any]) -> BuildForge | None:
    """`build_forge` of a training's settings, as `TrainSettings` or its `training.json` have them; errors as
    there.
    """
    weights, params, scales = map(settings.get, ONLINE)
    return build_forge(weights or {}, params or {}, scales or ())
