"""Fairness of a detector's scores: rates per group, gaps between groups, and how sure they are.

Two modes. `purdue` has the definitions of the published code (METHODS: Ju et al., WACV 2024; Lin et al., CVPR
2024), as fractions: F_EFPR and F_EO are sums over groups, a group with one class vanishes without a word.
`corrected` (default): F_EFPR and F_EO are means, so they do not grow with the number of groups; what is
undefined is listed with its reason; groups below `min_n` clusters are left out of gaps; intervals that know
which rows belong together (`uncertainty`); beside each gap its unbiased estimate and a permutation null,
since max - min is above 0 even for a detector that treats all alike; the smallest gap this test set could
have shown.

fairlearn gives TPR 0 for a group without positives where this gives "undefined"; both agree wherever both are
defined.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from detector.metrics.auc_error import auc_error, patterns
from detector.metrics.rates import auc, called_fake, check_scores, utility
from detector.metrics.replicates import Floats, Ints, cluster_counts, indices, permuted_counts, rates
from detector.metrics.resampling import home_groups
from detector.metrics.ties import DEFAULT, Choice, Tail, Ties, tail
from detector.metrics.uncertainty import (
    SPANS,
    Inverter,
    evidence,
    group_intervals,
    intervals,
    pooled_intervals,
)
from manifests.errors import UsageError
from manifests.proportions import LEVEL
from manifests.seeding import rng_of

Mode = Literal["corrected", "purdue"]
POWER_Z = 0.8416
"""Normal quantile of 80 % power."""


@dataclass(frozen=True)
class FairnessReport:
    """Utility, rates per group and gaps; `to_dict` is JSON-able, with None for what is undefined."""

    mode: Mode
    threshold: float
    utility: Mapping[str, Any]
    groups: Mapping[str, Mapping[str, Mapping[str, Any]]]
    gaps: Mapping[str, Mapping[str, Any]]
    not_estimable: tuple[Mapping[str, Any], ...] = ()
    ties: Choice = DEFAULT

    def to_dict(self) -> dict[str, Any]:
        """`{"utility": ..., "groups": {kind: {group: ...}}, "gaps": {kind: ...}, ...}`; NaN becomes None."""
        value = plain(
            {
                "mode": self.mode,
                "threshold": self.threshold,
                "utility": self.utility,
                "groups": self.groups,
                "gaps": self.gaps,
                "not_estimable": list(self.not_estimable),
                "ties": self.ties,
            }
        )
        return dict(value)


def plain(value: Any) -> Any:
    """A value of mappings, sequences and numbers as JSON can hold it: NaN and infinity become None."""
    if isinstance(value, Mapping):
        return {str(k): plain(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [plain(v) for v in value]
    if isinstance(value, np.integer):
        return int(value)
    if isinstance(value, float | np.floating):
        return float(value) if math.isfinite(value) else None
    return value


def span(values: Floats, used: npt.NDArray[np.bool_]) -> Floats:
    """Max - min over the last axis, over finite values of groups in use; NaN with fewer than two."""
    kept = np.where(used & np.isfinite(values), values, np.nan)
    enough = np.isfinite(kept).sum(-1) >= 2
    high = np.where(np.isfinite(kept), kept, -np.inf).max(-1)
    low = np.where(np.isfinite(kept), kept, np.inf).min(-1)
    return np.where(enough, high - low, np.nan)


def _spread(values: Floats, pooled: Floats, used: npt.NDArray[np.bool_], mode: Mode) -> Floats:
    """Sum (purdue) or mean (corrected) over groups of |value - pooled|, last axis; NaN with fewer than
    two.
    """
    off = np.where(used & np.isfinite(values), np.abs(values - pooled[..., None]), np.nan)
    n = np.isfinite(off).sum(-1)
    total = np.nansum(off, -1)
    return np.where(n >= 2, total if mode == "purdue" else total / np.maximum(n, 1), np.nan)


def gaps_of(counts: Floats, used: npt.NDArray[np.bool_], mode: Mode) -> dict[str, Floats]:
    """Every gap that follows from counts [..., G, 4] of (real, fake, real called fake, fake called fake).

    F_FPR, F_TPR, F_OAE, F_DP: max - min of FPR, TPR, ACC, PR; F_MEO: the larger of the ranges of TPR and FPR;
    F_EFPR: sum or mean |FPR_g - FPR|; F_EO: the same of FPR plus that of TPR; F_DP_balanced: F_DP at half
    fake.
    """
    of_group, pooled = rates(counts), rates(counts.sum(-2))
    out = {name: span(of_group[rate], used) for name, rate in SPANS.items()}
    out["F_MEO"] = np.maximum(out["F_TPR"], out["F_FPR"])  # undefined where either half is
    out["F_EFPR"] = _spread(of_group["FPR"], pooled["FPR"], used, mode)
    out["F_EO"] = out["F_EFPR"] + _spread(of_group["TPR"], pooled["TPR"], used, mode)
    return out


def variances_of(counts: Floats, used: npt.NDArray[np.bool_]) -> dict[str, Floats]:
    """By gap of `gaps_of`: the variance between groups of the rates behind it, which orders data sets of one
    and the same gap.
    """
    of_group = rates(counts)
    own = {}
    for name in {*SPANS.values(), "TPR", "FPR"}:
        known = used & np.isfinite(of_group[name])
        kept, n = np.where(known, of_group[name], 0.0), known.sum(-1)
        with np.errstate(invalid="ignore"):  # no group has the rate: 0 / 0, undefined
            own[name] = (kept**2).sum(-1) / n - (kept.sum(-1) / n) ** 2
    both = own["TPR"] + own["FPR"]
    return {
        **{name: own[rate] for name, rate in SPANS.items()},
        "F_MEO": both,
        "F_EFPR": own["FPR"],
        "F_EO": both,
    }


@dataclass(frozen=True)
class _Data:
    y: Ints
    score: Floats
    called: npt.NDArray[np.bool_]
    cluster: Ints
    threshold: float


def _group_rows(data: _Data, names: list[str], group: Ints) -> dict[str, dict[str, Any]]:
    out = {}
    for g, name in enumerate(names):
        mine = group == g
        out[name] = {
            **utility(data.y[mine], data.score[mine], data.threshold),
            "n_clusters": np.count_nonzero(np.bincount(data.cluster[mine])),
        }
    return out


def _missing(kind: str, rows: Mapping[str, Mapping[str, Any]], min_n: int) -> list[dict[str, Any]]:
    out = []
    for name, row in rows.items():
        reasons = []
        if row["n_real"] == 0:
            reasons.append((["FPR", "AUC"], "no real image"))
        if row["n_fake"] == 0:
            reasons.append((["TPR", "AUC"], "no fake image"))
        if row["n_clusters"] < min_n:
            reasons.append((["gaps"], f"{row['n_clusters']} clusters, fewer than {min_n}"))
        out += [
            {"kind": kind, "group": name, "figures": figures, "reason": reason, "n": row["n"]}
            for figures, reason in reasons
        ]
    return out


def _kind_gaps(
    data: _Data,
    names: list[str],
    group: Ints,
    rows: dict[str, dict[str, Any]],
    mode: Mode,
    min_n: int,
    replicates: int,
    rng: np.random.Generator,
    share: Callable[..., float],
) -> dict[str, Any]:
    """The gaps of one kind of groups; in `corrected` mode with intervals (also put into `rows`), null and
    power. share: of the ties that counts, by gap and what was `found`.
    """
    once = np.zeros_like(data.cluster)
    counts = cluster_counts(data.y, data.called, group, once, len(names))[0]
    least = min_n if mode == "corrected" else 1
    used = np.array([rows[name]["n_clusters"] >= least for name in names])
    if mode == "purdue":
        used &= np.array([rows[name]["n_real"] > 0 and rows[name]["n_fake"] > 0 for name in names])
    areas = np.array([rows[name]["AUC"] for name in names])
    out: dict[str, Any] = {k: float(v) for k, v in gaps_of(counts, used, mode).items()}
    out["G_AUC"] = float(span(areas, used))
    out["groups_used"] = int(used.sum())
    if mode == "purdue" or replicates == 0:
        return out
    known = evidence(data.y, data.score, data.called, data.cluster, group, len(names))
    together = group_intervals(known, LEVEL ** (1 / max(len(names), 1)))
    for name, alone, beside in zip(names, group_intervals(known), together, strict=True):
        rows[name].update(intervals=alone, simultaneous=beside)
    home = home_groups(group, data.cluster, len(names))
    mine = group >= 0
    kinds = patterns(data.y[mine], data.cluster[mine], len(home))
    total = cluster_counts(data.y, data.called, np.where(mine, 0, -1), data.cluster, 1)[:, 0]
    dealt = permuted_counts(total, home, kinds, len(names), replicates, rng)
    null, finer, finer_null = (
        gaps_of(dealt, used, mode),
        variances_of(counts, used),
        variances_of(dealt, used),
    )

    def counted(name: str) -> float:
        return share(name, found=out[name])

    tails = {
        name: tail(out[name], values, float(finer[name]), finer_null[name])
        for name, values in null.items()
        if math.isfinite(out[name]) and np.isfinite(values).any()
    }
    out["null"] = {name: _null(values, tails.get(name), counted(name)) for name, values in null.items()}
    found = Inverter(known, used, replicates, rng, counted, tails).all()
    out["intervals"], out["corrected"] = (
        intervals(found),
        {name: float(part.estimate) for name, part in found.items()},
    )
    out["detectable"] = {name: out["null"][name]["p95"] + POWER_Z * float(found[name].error) for name in null}
    return out


def _null(samples: Floats, found: Tail | None, share: float) -> dict[str, Any]:
    """Mean and 95 % quantile of the gap under equal treatment; how often chance exceeds the one found where
    this share of the ties counts, and where none and all of them do.
    """
    if found is None:
        return {"mean": math.nan, "p95": math.nan, "p": math.nan, "p_bounds": [math.nan, math.nan]}
    finite = samples[np.isfinite(samples)]
    return {
        "mean": float(finite.mean()),
        "p95": float(np.quantile(finite, 0.95)),
        "p": float(found.p(share)),
        "p_bounds": [float(end) for end in found],
    }


MOST_GROUPS = 1000
"""Groups of one kind: each has replicates, a null and a row of its own; race x gender x age has some
hundred.
"""


def cluster_index(clusters: Sequence[str | None] | None, n: int) -> Ints:
    """Index of each row's cluster, int64 [n]; rows without one get an index of their own."""
    if clusters is None:
        return np.arange(n)
    if not set(map(type, clusters)) <= {str, type(None)}:
        clusters = [None if value is None else str(value) for value in clusters]
    encoded = pa.array(clusters, pa.string()).dictionary_encode()
    alone = np.flatnonzero(encoded.is_null())
    texts = [str(("", value)) for value in encoded.dictionary.to_pylist()]
    texts += [str(("row", row)) for row in alone.tolist()]
    own = np.array(pc.fill_null(encoded.indices, 0), np.int64)
    own[alone] = np.arange(len(texts) - len(alone), len(texts))
    place = np.empty(len(texts), np.int64)
    place[np.asarray(pc.sort_indices(pa.array(texts, pa.string())))] = np.arange(len(texts))
    return np.asarray(place[own])


def group_index(values: Sequence[str | None]) -> tuple[list[str], Ints]:
    """Names of the groups, sorted, and each row's index among them: int64 [N], -1 for a row without a group.

    Raises:
        UsageError: more than `MOST_GROUPS` groups.
    """
    there = np.fromiter((value is not None for value in values), np.bool_, len(values))
    names, known = indices(values if there.all() else [value for value in values if value is not None])
    if len(names) > MOST_GROUPS:
        raise UsageError(
            f"{len(names)} groups",
            f"are more than {MOST_GROUPS} ({', '.join(map(str, names[:2]))}, ...)",
            "choose a column with one value per demographic group, not one per image or person",
        )
    group = np.full(len(values), -1)
    group[there] = known
    return names, group


def report(
    y_true: npt.ArrayLike,
    y_score: npt.ArrayLike,
    groups: Mapping[str, Sequence[str | None]],
    clusters: Sequence[str | None] | None = None,
    mode: Mode = "corrected",
    threshold: float = 0.5,
    *,
    min_n: int = 5,
    replicates: int = 500,
    seed: int = 0,
    ties: Choice = DEFAULT,
) -> FairnessReport:
    """Utility of all rows, rates of every group, and the gaps between groups of each kind.

    Args:
        y_true: int [N], 1 fake, 0 real.
        y_score: float [N], finite; called fake from `threshold` on.
        groups: kind (race, gender, cell) -> a group per row; None: the row takes no part in this kind.
        clusters: identity or video of each row, which belong together; a row whose cluster is None, or every
            row where there are no clusters, stands by itself.
        min_n: fewest clusters of a group that takes part in gaps (`corrected`).
        replicates: data sets drawn for the intervals of gaps, and permutations; 0 leaves out both and all
            intervals.
        ties: what a tie counts in tests and in the intervals of gaps: `mid` or `random` (`metrics.ties`).

    Raises:
        UsageError: lengths differ, labels other than 0 and 1, scores that are not finite, unknown mode or
            ties, more than `MOST_GROUPS` groups of a kind, or more groups times clusters than
            `resampling.MOST_PAIRS`.
    """
    if mode not in ("corrected", "purdue"):
        raise UsageError(f"mode {mode!r}", "is not known", "choose corrected or purdue")
    y, score = check_scores(y_true, y_score)
    for name, values in [*groups.items(), *([("clusters", clusters)] if clusters is not None else [])]:
        if len(values) != len(y):
            raise UsageError(
                f"{name}: {len(values)} values", f"for {len(y)} scores", "give one value per row"
            )
    cluster = cluster_index(clusters, len(y))
    data = _Data(y, score, called_fake(score, threshold), cluster, threshold)
    counted = Ties(ties, seed, y, score)
    tables, gaps, missing = {}, {}, []
    for kind, values in groups.items():
        names, group = group_index(values)
        rows = _group_rows(data, names, group)
        rng, share = rng_of(seed, "fairness", kind), partial(counted.share, kind)
        gaps[kind] = _kind_gaps(data, names, group, rows, mode, min_n, replicates, rng, share)
        tables[kind] = rows
        missing += _missing(kind, rows, min_n)
    whole = utility(y, score, threshold)
    if mode == "corrected" and replicates:
        whole["intervals"] = _utility_intervals(data, groups)
    return FairnessReport(mode, threshold, whole, tables, gaps, tuple(missing), ties)


def _utility_intervals(data: _Data, groups: Mapping[str, Sequence[str | None]]) -> Any:
    """Intervals of the pooled AUC and rates; strata are the finest kind of groups there is."""
    finest = max(groups.values(), key=lambda values: len(set(values)), default=["all"] * len(data.y))
    names, finest_of_row = indices(finest)
    stratum = home_groups(finest_of_row, data.cluster, len(names))[data.cluster]
    known = evidence(data.y, data.score, data.called, data.cluster, stratum, len(names))
    return pooled_intervals(known, auc_error(data.y, data.score, data.cluster, stratum))


__all__ = ["FairnessReport", "auc", "gaps_of", "report"]
