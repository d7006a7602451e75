"""Two detectors on the same rows: the difference A - B of AUC, rates and every gap, paired by cluster.

AUC and rates: in each replicate of a bootstrap both detectors get the same clusters, so what makes a row hard
for both cancels; the interval is the percentile interval, and p = 2 min(P(<= 0), P(>= 0)), each counted with
one more replicate. Gaps: resampled max - min are noisier than the gaps themselves, so that such a p is too
large. Their test exchanges the two detectors in half of the clusters, at random; p is how often the
difference then is larger than the one found, with a share of the ties (`ties`), and the interval holds the
shifts that this test does not reject.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt

from detector.fairness import cluster_index, gaps_of, group_index, plain, span, variances_of
from detector.metrics.auc_error import components
from detector.metrics.gap_intervals import Bools
from detector.metrics.rates import auc, called_fake, check_scores
from detector.metrics.replicates import Floats, Ints, cluster_counts, indices, interval, rates
from detector.metrics.resampling import bootstrap, home_groups, sorted_groups
from detector.metrics.ties import DEFAULT, MID, Choice, Ties, tail
from manifests.errors import UsageError
from manifests.proportions import LEVEL
from manifests.seeding import rng_of

UTILITY = ("AUC", "ACC", "TPR", "FPR")
SWAPS = 64
"""Exchanges held at once."""
LEAST_REPLICATES = 2
"""Below, an interval has no ends."""


def _difference(a: float, b: float, drawn_a: Floats, drawn_b: Floats) -> dict[str, Any]:
    drawn = drawn_a - drawn_b
    finite = drawn[np.isfinite(drawn)]
    turned = min(int((finite <= 0).sum()), int((finite >= 0).sum()))
    p = min(1.0, 2 * (turned + 1) / (len(finite) + 1)) if len(finite) and np.isfinite(a - b) else np.nan
    return {"a": a, "b": b, "difference": a - b, "interval": interval(drawn), "p": p}


def _exchanged_difference(
    a: float,
    b: float,
    swapped: Floats,
    finer: float,
    finer_swapped: Floats,
    share: float,
) -> dict[str, Any]:
    """As `_difference`, from differences under exchange, float64 [R]; `finer`: see `tail`; share: of ties."""
    found, size = a - b, np.abs(swapped[np.isfinite(swapped)])
    out = {"a": a, "b": b, "difference": found}
    if not np.isfinite(found) or not len(size):
        return {**out, "interval": (np.nan, np.nan), "p": np.nan, "p_bounds": (np.nan, np.nan)}
    if share == MID and not (found or finer):
        share = 1.0  # half of the ties at no difference at all would read as some evidence
    tested = tail(abs(found), np.abs(swapped), abs(finer), np.abs(finer_swapped))
    p = float(tested.p(share))
    reach = _reach(size, share, abs(found), p)
    bounds = (float(tested.without), float(tested.with_all))
    return {**out, "interval": (found - reach, found + reach), "p": p, "p_bounds": bounds}


def _reach(size: Floats, share: float, found: float, p: float, level: float = LEVEL) -> float:
    """How far a shift may be from the difference found without being rejected.

    It is the smallest exchanged difference that too few others exceed. 0 is inside if and only if p says so:
    where the difference found is that limit itself, and is rejected, the interval ends next to 0.

    Args:
        size: float64 [R], exchanged differences without their sign.
        share: of the ties that counts.
        found: the difference found, without its sign.
        p: that of no difference.
    """
    limits, many = np.unique(np.round(size, 12), return_counts=True)
    beyond = len(size) - np.cumsum(many)
    enough = limits[(beyond + share) / (len(size) + 1) <= 1 - level]
    reach = float(enough[0] if len(enough) else limits[-1])
    return max(reach, found) if p > 1 - level else min(reach, float(np.nextafter(found, 0.0)))


def exchange(
    first: Floats, second: Floats, replicates: int, rng: np.random.Generator
) -> tuple[Floats, Floats]:
    """Sums over clusters after exchanging what the detectors have in half of them: float64 [R, ...] each.

    first, second: float64 [C, ...], what each cluster adds for either detector.
    """
    flat = np.stack([first.reshape(len(first), -1), second.reshape(len(second), -1)])
    total, out = flat.sum(1), []
    for start in range(0, replicates, SWAPS):
        swap = rng.random((min(SWAPS, replicates - start), len(first))) < 0.5
        out.append(swap.astype(np.float64) @ (flat[1] - flat[0]))
    moved = np.concatenate(out)
    shape = (replicates, *first.shape[1:])
    return (total[0] + moved).reshape(shape), (total[1] - moved).reshape(shape)


def _areas(y: Ints, score: Floats, group: Ints, cluster: Ints, n_group: int) -> Floats:
    """What each cluster adds to the AUC of each group, to first order: float64 [C, G], summing to the
    AUCs.
    """
    out = np.zeros((int(cluster.max()) + 1, n_group))
    for g in range(n_group):
        mine = np.flatnonzero(group == g)
        value, parts = components(y[mine], score[mine])
        share = np.where(y[mine] == 1, 1 / max((y[mine] == 1).sum(), 1), 1 / max((y[mine] == 0).sum(), 1)) / 2
        out[:, g] = np.bincount(cluster[mine], parts + value * share, len(out))
    return out


def _gaps(
    y: Ints,
    scores: tuple[Floats, Floats],
    thresholds: tuple[float, float],
    cluster: Ints,
    group: Ints,
    used: Bools,
    replicates: int,
    rng: np.random.Generator,
    share: Callable[..., float],
) -> dict[str, Any]:
    """The difference of every gap between the groups in use; share: of the ties that counts, by gap and the
    difference `found`. An area has no ties but where nothing differs.
    """
    pair = list(zip(scores, thresholds, strict=True))
    counts = [
        cluster_counts(y, called_fake(score, limit), group, cluster, len(used)) for score, limit in pair
    ]
    areas = [_areas(y, score, group, cluster, len(used)) for score, _ in pair]
    sums = [np.concatenate([c, a[..., None]], -1) for c, a in zip(counts, areas, strict=True)]
    found, swapped = [part.sum(0) for part in sums], exchange(sums[0], sums[1], replicates, rng)
    (a, b), drawn = ([_gaps_and_area(part, used) for part in parts] for parts in (found, swapped))
    finer, finer_drawn = (
        _variances(parts[0], used) - _variances(parts[1], used) for parts in (found, swapped)
    )
    return {
        name: _exchanged_difference(
            float(a[name]),
            float(b[name]),
            drawn[0][name] - drawn[1][name],
            float(finer[k]),
            finer_drawn[k],
            MID if name == "G_AUC" else share(name, found=float(a[name] - b[name])),
        )
        for k, name in enumerate(a)
    }


def _gaps_and_area(sums: Floats, used: Bools) -> dict[str, Floats]:
    """Gaps of sums [..., G, 5]: counts, and the AUC's."""
    return {**gaps_of(sums[..., :4], used, "corrected"), "G_AUC": span(sums[..., 4], used)}


def _variances(sums: Floats, used: Bools) -> Floats:
    """`variances_of`, float64 [gaps, ...], in the order of `_gaps_and_area`; the AUC, which has no ties, has
    0.
    """
    counts, known = sums[..., :4], variances_of(sums[..., :4], used)
    return np.stack(
        [*(known[name] for name in gaps_of(counts, used, "corrected")), np.zeros(counts.shape[:-2])]
    )


def _point(y: Ints, score: Floats, threshold: float, group: Ints, n_group: int) -> tuple[Floats, Floats]:
    """Counts [G, 4] and AUC [G] of every group as it stands."""
    counts = cluster_counts(y, called_fake(score, threshold), group, np.zeros_like(group), n_group)[0]
    areas = [auc(y[group == g], score[group == g]) for g in range(n_group)]
    return counts, np.array(areas)


def _both(
    y: Ints,
    scores: tuple[Floats, Floats],
    thresholds: tuple[float, float],
    cluster: Ints,
    group: Ints,
    n_group: int,
    stratum: Ints,
    replicates: int,
    rng: np.random.Generator,
) -> list[tuple[Floats, Floats, Floats, Floats]]:
    """Per detector: counts [G, 4], AUC [G], and their replicates [R, G, 4] and [R, G] under the same
    weights.
    """
    pair = list(zip(scores, thresholds, strict=True))
    groups = [g for score, limit in pair for g in sorted_groups(y, score, cluster, group, n_group, limit)]
    drawn = bootstrap(groups, stratum, replicates, rng)
    parts = (slice(0, n_group), slice(n_group, None))
    return [
        (*_point(y, score, limit, group, n_group), drawn.counts[:, part], drawn.auc[:, part])
        for (score, limit), part in zip(pair, parts, strict=True)
    ]


def compare(
    y_true: npt.ArrayLike,
    score_a: npt.ArrayLike,
    score_b: npt.ArrayLike,
    groups: Mapping[str, Sequence[str | None]],
    clusters: Sequence[str | None] | None = None,
    threshold_a: float = 0.5,
    threshold_b: float = 0.5,
    *,
    min_n: int = 5,
    replicates: int = 1000,
    seed: int = 0,
    ties: Choice = DEFAULT,
) -> dict[str, Any]:
    """Differences A - B on the same rows; arguments as `fairness.report`, gaps as its mode `corrected`.

    Returns:
        `{"n", "n_clusters", "ties", "utility": {figure: {a, b, difference, interval, p}}, "gaps": {kind:
        {gap: {..., p_bounds}}}}`, None for what is undefined.

    Raises:
        UsageError: lengths differ, labels other than 0 and 1, scores that are not finite, fewer than
            `LEAST_REPLICATES`, unknown ties.
    """
    y, a = check_scores(y_true, score_a)
    b = check_scores(y_true, score_b)[1]
    if replicates < LEAST_REPLICATES:
        raise UsageError(
            f"{replicates} replicates", "give no interval", f"ask for {LEAST_REPLICATES} or more"
        )
    for name, values in [*groups.items(), *([("clusters", clusters)] if clusters is not None else [])]:
        if len(values) != len(y):
            raise UsageError(
                f"{name}: {len(values)} values", f"for {len(y)} scores", "give one value per row"
            )
    counted = Ties(ties, seed, y, a, b)
    same = threshold_a == threshold_b and bool((a == b).all())  # one detector: all of its ties count
    cluster, scores, limits = cluster_index(clusters, len(y)), (a, b), (threshold_a, threshold_b)
    finest = max(groups.values(), key=lambda values: len(set(values)), default=["all"] * len(y))
    names, finest_of_row = indices(finest)
    stratum, one = home_groups(finest_of_row, cluster, len(names)), np.zeros_like(cluster)
    both = _both(y, scores, limits, cluster, one, 1, stratum, replicates, rng_of(seed, "compare", "utility"))
    point = [{**rates(counts[0]), "AUC": area[0]} for counts, area, _, _ in both]
    drawn = [{**rates(counts[:, 0]), "AUC": area[:, 0]} for _, _, counts, area in both]
    out: dict[str, Any] = {
        "n": len(y),
        "n_clusters": int(cluster.max()) + 1,
        "ties": ties,
        "gaps": {},
        "utility": {
            name: _difference(float(point[0][name]), float(point[1][name]), drawn[0][name], drawn[1][name])
            for name in UTILITY
        },
    }
    for kind, values in groups.items():
        share = partial(counted.share, kind)
        kind_names, group = group_index(values)
        size = np.array([len(np.unique(cluster[group == g])) for g in range(len(kind_names))])
        used = size >= min_n
        out["gaps"][kind] = _gaps(
            y,
            scores,
            limits,
            cluster,
            group,
            used,
            replicates,
            rng_of(seed, "compare", kind),
            (lambda *_, **__: 1.0) if same else share,
        )
        out["gaps"][kind]["groups_used"] = int(used.sum())
    return dict(plain(out))
