"""Section on the threshold: how the gaps between cells depend on where the detector begins to call a picture
fake.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from detector.fairness import group_index, span
from detector.inference.calibration import logit
from detector.metrics.auc_error import patterns
from detector.metrics.resampling import home_groups
from manifests.seeding import rng_of
from pipeline.report import values
from pipeline.report.fairness_values import MEANING
from pipeline.report.markup import Html, join, paragraphs, tag
from pipeline.report.run_files import RESULTS, SCORES, RunFiles
from pipeline.report.scored import Floats, Ints, Scored, scored
from pipeline.report.svg import Axis, Frame, Line, LineChart, legend
from pipeline.report.tables import Section, figure

ENDS = 0.0005
"""The axis runs from here to 1 minus this."""
MARKS = (0.001, 0.01, 0.1, 0.5, 0.9, 0.99, 0.999)
UNIT = (0.0, 0.2, 0.4, 0.6, 0.8, 1.0)
STEPS, DEALS = 61, 200
RATES = {"FPR": 0, "TPR": 1}


@dataclass(frozen=True)
class GapCurve:
    """Over thresholds [T]: the rate of all rows, its largest difference between cells, and the 95 % quantile
    of that difference when identities get each other's cells; NaN where undefined.
    """

    rate: Floats
    gap: Floats
    by_chance: Floats


def thresholds() -> Floats:
    """Where the gaps are measured: float64 [T], evenly on the logit scale."""
    end = float(logit(1 - ENDS))
    return np.asarray(1 / (1 + np.exp(-np.linspace(-end, end, STEPS))))


def _per_cluster(score: Floats, cluster: Ints, at: Floats, n: int) -> Floats:
    """How many of these rows each cluster has called fake at each threshold, and in all: float64 [C, T +
    1].
    """
    out = np.zeros((n, len(at) + 1))
    np.add.at(out, cluster, np.column_stack([score[:, None] >= at, np.ones(len(score))]))
    return out


def _gap(counts: Floats, used: npt.NDArray[np.bool_]) -> Floats:
    """Max - min over the groups in use of counts [G, T + 1]: float64 [T]."""
    with np.errstate(divide="ignore", invalid="ignore"):
        rates = counts[:, :-1] / counts[:, -1:]
    return span(rates.T, used)


def gap_curves(rows: Scored, at: Floats, seed: int, min_n: int, deals: int = DEALS) -> dict[str, GapCurve]:
    """The gaps of FPR and TPR between cells at every threshold.

    Args:
        rows: of one dataset.
        at: thresholds, float64 [T]; a score from there on is called fake.
        seed: of the run.
        min_n: fewest identities of a cell that takes part.
        deals: how often cells are dealt out anew among identities, the same way at every threshold.
    """
    names, group = group_index(rows.cells)
    if not names:
        nothing = np.full(len(at), np.nan)
        return {rate: GapCurve(nothing, nothing, nothing) for rate in RATES}
    n = int(rows.clusters.max(initial=-1)) + 1
    home = home_groups(group, rows.clusters, len(names))
    kept = np.flatnonzero(home >= 0)
    pattern = patterns(rows.label, rows.clusters, n)[kept]
    used = np.bincount(home[kept], minlength=len(names)) >= min_n
    rng = rng_of(seed, "report-gap", rows.name)
    dealt = []
    for _ in range(deals):
        one = home[kept].copy()
        for kind in np.unique(pattern):
            mine = pattern == kind
            one[mine] = rng.permutation(one[mine])
        dealt.append(one)
    out = {}
    for rate, label in RATES.items():
        mine = rows.label == label
        own = _per_cluster(rows.score[mine], rows.clusters[mine], at, n)[kept]
        choose = np.eye(len(names))
        gap = _gap(choose[home[kept]].T @ own, used)
        drawn = np.array([_gap(choose[one].T @ own, used) for one in dealt])
        whole = own.sum(0)
        with np.errstate(divide="ignore", invalid="ignore"):
            out[rate] = GapCurve(whole[:-1] / whole[-1:], gap, np.quantile(drawn, 0.95, axis=0))
    return out


def _points(x: Floats, y: Floats) -> list[tuple[float, float]]:
    return [(a, b) for a, b in zip(x.tolist(), y.tolist(), strict=True) if np.isfinite(b)]


LINES: Sequence[tuple[str, str]] = (
    ("gap", "largest difference between cells"),
    ("by_chance", "95 % of differences by chance are below this"),
    ("rate", "rate over all cells"),
)


def _dataset(files: RunFiles, dataset: str, at: Floats) -> Html:
    x = logit(at)
    found = gap_curves(scored(files, dataset), at, files.run.config.run.seed, files.run.config.evaluate.min_n)
    cut = files.results["threshold"].get("value")
    mark = (float(np.clip(logit(cut), x[0], x[-1])), "used") if values.is_number(cut) else None
    axis = Axis(
        float(x[0]),
        float(x[-1]),
        "threshold",
        tuple(logit(MARKS).tolist()),
        tuple(f"{mark:g}" for mark in MARKS),
    )
    panels = []
    for rate, curve in found.items():
        lines = [Line(said, _points(x, getattr(curve, name)), k) for k, (name, said) in enumerate(LINES)]
        chart = LineChart(
            f"Gap of {rate} against the threshold, {dataset}",
            axis,
            Axis(0, 1, rate, UNIT),
            lines,
            Frame(width=440, height=300),
            vertical=mark,
        )
        panels.append(tag("div", tag("h4", f"{rate}: {MEANING[rate]}"), chart.draw()))
    body = join(
        [tag("div", *panels, class_="plots wide"), legend([(k, said) for k, (_, said) in enumerate(LINES)])]
    )
    return join(
        [
            tag("h3", dataset),
            figure(f"{dataset}: gaps between cells against the threshold.", body, [SCORES, RESULTS]),
        ]
    )


def gap_section(files: RunFiles) -> Section:
    """Gaps between cells at every threshold, beside what chance gives."""
    intro = paragraphs(
        "The figures of the other sections hold at one threshold, which was fixed beforehand. Here it moves,"
        " on a logit scale. A gap closes at both ends, where all pictures are called alike; what counts is"
        " where the rate over all cells is one that could be used. Above the dashed line a gap is larger"
        f" than 95 % of those that come about when the cells are dealt out anew among the identities ({DEALS}"
        " times); over many thresholds, some crossing is to be expected.",
    )
    at = thresholds()
    return Section(
        "gaps",
        "Gap against threshold",
        join([intro, *(_dataset(files, name, at) for name in files.datasets)]),
    )
