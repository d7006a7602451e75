"""How sure a report's figures are: intervals of every group's rates and AUC, intervals and unbiased estimates
of every gap.

Rates: `rate_intervals` at the effective number of rows (`effective_rows`); AUC: `auc_interval` with what
`auc_error` says of clusters; gaps: `gap_intervals`. Where several groups stand beside each other,
`simultaneous` intervals hold all of them at once (Sidak): each at the level 0.95 ** (1 / groups).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

import numpy as np

from detector.metrics.auc_error import AucError, auc_error
from detector.metrics.effective_rows import Rates, group_rates, pairs_of, stratified
from detector.metrics.gap_intervals import Bools, Gap, GapInterval, invert, most
from detector.metrics.rate_intervals import rate_interval
from detector.metrics.rates import Labels
from detector.metrics.replicates import Floats, Ints
from detector.metrics.ties import MID, Tail
from manifests.proportions import LEVEL

SPANS = {"F_FPR": "FPR", "F_TPR": "TPR", "F_OAE": "ACC", "F_DP": "PR", "F_DP_balanced": "PR_balanced"}
"""Gaps that are max - min of one rate."""


class Evidence(NamedTuple):
    """Of the groups of one kind: rates with their effective rows, and AUCs with theirs."""

    rates: Rates
    auc: Sequence[AucError]


def evidence(y: Labels, score: Floats, called: Bools, cluster: Ints, group: Ints, n_group: int) -> Evidence:
    """What the rows of each group say. group: int64 [N], -1 for rows without one."""
    count, hits, owner = pairs_of(y, called, group, cluster)
    areas = []
    for g in range(n_group):
        mine = np.flatnonzero(group == g)
        areas.append(auc_error(y[mine], score[mine], cluster[mine], group[mine]))
    return Evidence(group_rates(count, hits, owner, n_group), areas)


def group_intervals(found: Evidence, level: float = LEVEL) -> list[dict[str, tuple[float, float]]]:
    """Of each group the intervals of ACC, TPR, FPR, PR, PR_balanced and AUC; (NaN, NaN) for what is
    undefined.
    """
    figures = {name: (*part, min(found.rates.freedom)) for name, part in found.rates.combined().items()}
    for name, freedom in zip(("FPR", "TPR"), found.rates.freedom, strict=True):
        figures[name] = (*figures[name][:2], freedom)
    return [
        {
            "AUC": area.interval(level),
            **{
                name: rate_interval(float(v[g]), float(rows[g]), free, level)
                for name, (v, rows, free) in figures.items()
            },
        }
        for g, area in enumerate(found.auc)
    ]


def pooled_intervals(found: Evidence, area: AucError) -> dict[str, tuple[float, float]]:
    """Intervals of the rates of all rows, whose groups are strata, and of their AUC."""
    rates, strata = found.rates, [0, 1]
    parts = [stratified(rates.rate[k], rates.rows[k], rates.count[k]) for k in strata]
    rate, rows = (np.array([part[k] for part in parts])[:, None] for k in strata)
    total = rates.count.sum(1)[:, None]
    rate = np.where(total > 0, rate, np.nan)
    return group_intervals(Evidence(Rates(rate, rows, rates.freedom, total, rates.together), [area]))[0]


def area_rows(areas: Sequence[AucError], count: Floats) -> Floats:
    """Effective rows of the groups' AUCs for comparing them, float64 [G]: one ratio to the harmonic mean of
    both classes.

    A single group's error is known badly; the ratio is that of all groups together. count: float64 [2, G].
    """
    base = np.prod(count, 0) / np.maximum(count.sum(0), 1)
    known = np.array([np.isfinite(area.value) for area in areas])
    value = np.array([area.value for area in areas])[known]
    rows = np.array([area.rows for area in areas])[known]
    soft = (value * rows + 0.5) / (rows + 1)
    out = np.ones(len(areas))
    if known.any():
        spread = soft * (1 - soft)
        out[known] = np.maximum(base[known] * (spread / base[known]).sum() / (spread / rows).sum(), 1)
    return out


class Inverter:
    """Intervals of all gaps between the groups of one kind.

    Args:
        found: what the rows say.
        used: bool [G], the groups that count.
        replicates: data sets drawn per candidate.
        rng: draws them.
        share: the share of ties that counts, by gap.
        equal: by gap the permutation test of equal groups, where there is one.
    """

    def __init__(
        self,
        found: Evidence,
        used: Bools,
        replicates: int,
        rng: np.random.Generator,
        share: Callable[[str], float],
        equal: Mapping[str, Tail],
    ) -> None:
        self.rates, self.used, self.replicates, self.rng = found.rates, used, replicates, rng
        self.share, self.equal = share, equal
        self.figures = found.rates.combined()
        value = np.array([area.value for area in found.auc])
        self.figures["AUC"] = value, area_rows(found.auc, found.rates.count)
        self.freedom = dict(zip(("FPR", "TPR"), found.rates.freedom, strict=True)) | {"AUC": math.inf}

    def all(self) -> dict[str, GapInterval]:
        """Of each gap; NaN where fewer than two groups have the figure."""
        out = {
            name: self._of(name, (rate,), lambda v, k: most(v[0, k[0]]))
            for name, rate in {**SPANS, "G_AUC": "AUC"}.items()
        }
        both = ("FPR", "TPR")
        out["F_MEO"] = self._of("F_MEO", both, lambda v, k: np.maximum(most(v[0, k[0]]), most(v[1, k[1]])))
        out["F_EFPR"] = self._of("F_EFPR", both[:1], self._distances, spread=True)
        out["F_EO"] = self._of("F_EO", both, self._distances, spread=True)
        return out

    def _distances(self, figures: Floats, known: Bools) -> Floats:
        """Sum over FPR (and TPR) of the mean distance of a group in use from the pooled rate."""
        total = 0.0
        for values, mine, count in zip(figures, known, self.rates.count[: len(figures)], strict=True):
            weight = (count / count.sum()).reshape(-1, *[1] * (values.ndim - 1))
            total = total + np.abs(values[mine] - (weight * values).sum(0)).mean(0)
        return np.asarray(total)

    def _of(
        self,
        name: str,
        names: Sequence[str],
        gap: Callable[[Floats, Bools], Floats],
        *,
        spread: bool = False,
    ) -> GapInterval:
        values, rows = (np.stack([self.figures[name][k] for name in names]) for k in (0, 1))
        defined = np.isfinite(values)
        known = defined & self.used
        if (known.sum(1) < 2).any():
            nothing = np.array(np.nan)
            return GapInterval(nothing, nothing, nothing, nothing)
        looks: Gap = lambda v: gap(v, known)  # noqa: E731
        return invert(
            np.where(defined, values, 0.5),
            np.where(defined, rows, 1.0),
            defined if spread else known,
            looks,
            self.replicates,
            self.rng,
            spread=spread,
            together=float(self.rates.together) if names == ("FPR", "TPR") else 0.0,
            freedom=[self.freedom.get(name, min(self.rates.freedom)) for name in names],
            ties=MID if names == ("AUC",) else self.share(name),  # an area has no ties but in its draws
            equal=self.equal.get(name),
        )


def intervals(found: Mapping[str, GapInterval]) -> dict[str, tuple[float, float]]:
    """Ends of each gap's interval."""
    return {name: (float(part.low), float(part.high)) for name, part in found.items()}
