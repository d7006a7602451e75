"""Are generated faces nearer to the faces a generator was trained on than to others of the same kind?
`[recon]`

For each generated face, the distance to its nearest training face over that to its nearest held-out face, as
a ratio of means. A larger set is nearer to everything, so both sets have equal size: random subsets of the
training set as large as the held-out set, several times. Where nothing was memorised, training and held-out
faces are exchangeable and the ratio is about 1; copies pull it towards 0. Held-out faces must come from the
same source as training faces: another camera or another crop alone makes them further away, and the ratio
smaller.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from generators.quality.distances import Features, Values, check_features, nearest
from manifests.errors import UsageError
from manifests.seeding import rng_of


@dataclass(frozen=True)
class Memorisation:
    """ratio: mean distance to training over mean distance to held-out faces. low, high: 95 % interval.

    nearest_training, nearest_held_out: the smallest distance of all, in sets of equal size (training: median
    over the subsets). reference_size: faces in each set; repeats: training subsets drawn.
    """

    ratio: float
    low: float
    high: float
    mean_training: float
    mean_held_out: float
    nearest_training: float
    nearest_held_out: float
    reference_size: int
    repeats: int
    n_fake: int


def _subsets(training: Values, size: int, repeats: int, seed: int) -> list[Values]:
    if len(training) == size:
        return [training]
    rows = (
        rng_of(seed, "memorisation", r).choice(len(training), size, replace=False) for r in range(repeats)
    )
    return [training[np.sort(at)] for at in rows]


def memorisation(
    training: Features,
    held_out: Features,
    fake: Features,
    *,
    seed: int,
    repeats: int = 20,
    replicates: int = 2000,
) -> Memorisation:
    """The ratio with its interval.

    Each bootstrap replicate redraws the generated faces and takes one of the training subsets at random. The
    spread between those stands in for that of the held-out set, of which there is only one; where training
    and held-out sets have the same size there is one subset, and the interval is that of the generated faces
    alone.

    Args:
        training: float [N, D], one identity embedding per face.
        held_out: float [M, D]; the larger of the two references is cut to the size of the smaller.
        fake: float [K, D].
        seed: chooses subsets and bootstrap draws.
        repeats: training subsets.
        replicates: bootstrap draws.

    Raises:
        UsageError: an empty set, different D, values that are not finite, or repeats below 1.
    """
    sets = [
        check_features(f, n) for f, n in ((training, "training"), (held_out, "held-out"), (fake, "generated"))
    ]
    if len({values.shape[1] for values in sets}) > 1:
        raise UsageError("features", "of the three sets differ in columns", "use one feature space")
    if repeats < 1:
        raise UsageError(f"repeats {repeats}", "is not positive", "give 1 or more")
    train, held, generated = sets
    size = min(len(train), len(held))
    if len(held) > size:
        held = held[np.sort(rng_of(seed, "memorisation", "held-out").choice(len(held), size, replace=False))]
    to_train = np.stack([nearest(generated, part) for part in _subsets(train, size, repeats, seed)])
    to_held = nearest(generated, held)
    if not to_held.any():
        raise UsageError(
            "generated faces", "are copies of held-out faces", "check that --held-out was held out"
        )
    rng = rng_of(seed, "memorisation", "bootstrap")
    ratios = []
    for _ in range(replicates):
        rows = rng.integers(0, len(generated), len(generated))
        ratios.append(
            to_train[rng.integers(0, len(to_train)), rows].mean() / max(to_held[rows].mean(), 1e-12)
        )
    low, high = np.quantile(ratios, [0.025, 0.975])
    return Memorisation(
        ratio=float(to_train.mean() / to_held.mean()),
        low=float(low),
        high=float(high),
        mean_training=float(to_train.mean()),
        mean_held_out=float(to_held.mean()),
        nearest_training=float(np.median(to_train.min(axis=1))),
        nearest_held_out=float(to_held.min()),
        reference_size=size,
        repeats=len(to_train),
        n_fake=len(generated),
    )
