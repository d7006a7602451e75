"""Plots of each cell by itself: ROC and DET curves, and how well its scores are calibrated. One small plot
per cell.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from scipy.stats import norm

from detector.inference.calibration import class_weights, figures
from manifests.proportions import wilson
from pipeline.report import values
from pipeline.report.fairness_values import interval_of
from pipeline.report.markup import Html, join, paragraphs, tag
from pipeline.report.run_files import RESULTS, SCORES, RunFiles
from pipeline.report.scored import MOST_POINTS, Floats, Ints, Point, Scored, curve_of, scored
from pipeline.report.svg import Axis, Frame, Line, LineChart
from pipeline.report.tables import Section, figure

SMALL = Frame(width=212, height=194, left=48, right=10, top=8, bottom=38)
THIRDS = (0.0, 0.5, 1.0)
RATES = (0.01, 0.05, 0.2, 0.5, 0.8, 0.95, 0.99)
"""Ticks of the DET plots; its axes end where they do."""
BINS = 5


def _panel(title: Html, chart: LineChart) -> Html:
    return tag("div", tag("h4", title), chart.draw(), class_="panel")


def _nothing(title: Html, reason: str) -> Html:
    return tag("div", tag("h4", title), tag("p", reason, class_="note"), class_="panel")


def det_points(points: Sequence[Point]) -> list[Point]:
    """(FPR, FNR) on normal-deviate axes from (FPR, TPR), kept within the plot."""
    low, high = RATES[0], RATES[-1]
    return [tuple(norm.ppf(np.clip((fpr, 1 - tpr), low, high)).tolist()) for fpr, tpr in points]


def _roc(cell: str, own: list[Point], whole: list[Point]) -> LineChart:
    return LineChart(
        f"ROC of {cell}",
        Axis(0, 1, "false positive rate", THIRDS),
        Axis(0, 1, "true positive rate", THIRDS),
        [Line("all cells", whole, behind=True), Line(cell, own, 0)],
        SMALL,
        diagonal=True,
    )


def _det(cell: str, own: list[Point], whole: list[Point]) -> LineChart:
    marks = tuple(norm.ppf(RATES).tolist())
    names = tuple(f"{100 * rate:g}" for rate in RATES)
    ends = (marks[0], marks[-1])
    return LineChart(
        f"DET of {cell}",
        Axis(*ends, "false positives, %", marks, names),
        Axis(*ends, "misses, %", marks, names),
        [Line("all cells", det_points(whole), behind=True), Line(cell, det_points(own), 0)],
        SMALL,
    )


def _auc_title(files: RunFiles, dataset: str, cell: str) -> Html:
    entry = files.results["datasets"][dataset]["groups"]["cell"].get(cell, {})
    auc = values.with_interval(entry.get("AUC"), interval_of(entry, "AUC"), "a class has no image")
    return join([tag("strong", cell), " AUC ", auc])


def _curves(files: RunFiles, rows: Scored) -> Html:
    whole = curve_of(rows.label, rows.score, MOST_POINTS)
    cells = rows.shown_cells(files.cell_names)
    found = {cell: curve_of(*rows.of_cell(cell), MOST_POINTS) for cell in cells}
    made: list[Html] = []
    for name, draw in (("ROC", _roc), ("DET", _det)):
        panels = [
            (
                _panel(
                    _auc_title(files, rows.name, cell) if draw is _roc else tag("strong", cell),
                    draw(cell, points, whole),
                )
                if points
                else _nothing(tag("strong", cell), "A class has no image.")
            )
            for cell, points in found.items()
        ]
        caption = f"{rows.name}: {name} of each cell (blue) over that of all cells together (grey)."
        made.append(figure(caption, tag("div", *panels, class_="panels"), [SCORES, RESULTS]))
    return join(made)


def _by_dataset(files: RunFiles, draw: Callable[[RunFiles, Scored], Html]) -> Html:
    """The first dataset in sight, the others to be opened."""
    parts: list[Html] = []
    for k, dataset in enumerate(files.datasets):
        body = draw(files, scored(files, dataset))
        parts.append(
            join([tag("h3", dataset), body]) if k == 0 else tag("details", tag("summary", dataset), body)
        )
    return join(parts)


def cell_curves(files: RunFiles) -> Section:
    """ROC and DET curves of every cell, dataset by dataset."""
    intro = paragraphs(
        "Each plot has one cell. A curve of few images has few steps, and differs from the grey one by chance"
        " alone: the intervals beside the AUC say how much. DET plots show the two kinds of error on"
        " normal-deviate axes, cut at 1 % and 99 %; nearer to the lower left is better.",
    )
    return Section("curves", "ROC and DET per cell", join([intro, _by_dataset(files, _curves)]))


def reliability(label: Ints, score: Floats, bins: int = BINS) -> list[tuple[float, float, float, float]]:
    """(mean score, share of fakes, low, high) of bins with equally many images, real and fake weighing alike
    in all.

    Low and high are Wilson's 95 % interval of the bin's share, weighted like it.

    Args:
        label: int64 [N], 1 fake, 0 real; both there.
        score: float64 [N] in [0, 1].
        bins: how many; equal scores stay in one bin, so there may be fewer.
    """
    weight = class_weights(label)
    heavy = {one: float(weight[label == one][0]) for one in (0, 1)}
    edges = np.unique(np.quantile(score, np.linspace(0, 1, bins + 1)[1:-1]))
    place = np.searchsorted(edges, score, side="right")

    def weighted(share: float) -> float:
        return share * heavy[1] / (share * heavy[1] + (1 - share) * heavy[0])

    out = []
    for k in np.unique(place):
        mine = place == k
        fakes, n = int(label[mine].sum()), int(mine.sum())
        low, high = wilson(fakes, n)
        mean = float(np.average(score[mine], weights=weight[mine]))
        out.append((mean, weighted(fakes / n), weighted(low), weighted(high)))
    return out


def _reliability(title: Html, said: str, label: Ints, score: Floats) -> Html:
    if len(np.unique(label)) < 2:
        return _nothing(title, "A class has no image.")
    found = reliability(label, score)
    error = figures(label.tolist(), score)["ece"]
    line = Line(
        said,
        [(x, y) for x, y, _, _ in found],
        0,
        dots=True,
        whiskers=[(low, high) for _, _, low, high in found],
    )
    chart = LineChart(
        f"Calibration of {said}",
        Axis(0, 1, "mean score", THIRDS),
        Axis(0, 1, "share of fakes", THIRDS),
        [line],
        SMALL,
        diagonal=True,
    )
    return _panel(join([title, f" error {error:.3f}"]), chart)


def _calibration(files: RunFiles, rows: Scored) -> Html:
    panels = [_reliability(tag("strong", "all cells"), "all cells", rows.label, rows.score)]
    panels += [
        _reliability(tag("strong", cell), cell, *rows.of_cell(cell))
        for cell in rows.shown_cells(files.cell_names)
    ]
    caption = f"{rows.name}: share of fakes among images of about the same score."
    return figure(caption, tag("div", *panels, class_="panels"), [SCORES])


def calibration(files: RunFiles) -> Section:
    """Whether a score means the same share of fakes in every cell."""
    intro = paragraphs(
        "A score is calibrated where, of images that get 0.8, 80 % are fakes: on the dotted diagonal. Below"
        " it the detector is too sure that pictures are fake, above it not sure enough. Real and fake weigh"
        f" alike here, whatever their numbers, and each point has a {BINS}th of the images; bars are 95 %"
        " intervals that take images as independent, so they are too narrow where one person has several."
        " Error is the expected calibration error over 15 bins, which is above 0 by chance alone, more so in"
        " small cells.",
    )
    return Section("calibration", "Calibration per cell", join([intro, _by_dataset(files, _calibration)]))
