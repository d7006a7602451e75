"""Sections about the detector: training curve, and ROC of each dataset and of each cell."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from pipeline.report import values
from pipeline.report.markup import Html, join, paragraphs, tag
from pipeline.report.run_files import METRICS, RESULTS, SCORES, TRAINING, RunFiles
from pipeline.report.scored import curve_of, scored
from pipeline.report.svg import Axis, Frame, Line, LineChart, legend
from pipeline.report.tables import Column, Section, figure, simple_table

UNIT = (0.0, 0.2, 0.4, 0.6, 0.8, 1.0)


def _series(metrics: Sequence[dict[str, Any]], name: str) -> list[tuple[float, float]]:
    return [(line["epoch"], line[name]) for line in metrics if values.is_number(line.get(name))]


def _epochs(metrics: Sequence[dict[str, Any]]) -> Axis:
    last = max([line["epoch"] for line in metrics], default=1)
    step = max(1, -(-last // 8))
    return Axis(1, max(last, 2), "epoch", tuple(float(e) for e in range(1, max(last, 2) + 1, step)))


def _loss_chart(metrics: Sequence[dict[str, Any]], best: tuple[float, str] | None) -> Html:
    points = _series(metrics, "loss")
    highest, lowest = max([y for _, y in points], default=1.0), min([y for _, y in points], default=0.0)
    low, high = 1.05 * min(lowest, 0.0), 1.05 * max(highest, 0.0)
    chart = LineChart(
        "Training loss by epoch",
        _epochs(metrics),
        Axis(low, high, "loss"),
        [Line("loss", points, 0, dots=True)],
        vertical=best,
    )
    return chart.draw()


def _accuracy_chart(
    metrics: Sequence[dict[str, Any]], names: Sequence[str], best: tuple[float, str] | None
) -> Html:
    lines = [Line(_said(name), _series(metrics, name), k, dots=True) for k, name in enumerate(names)]
    chart = LineChart(
        "Figures on the validation split by epoch",
        _epochs(metrics),
        Axis(0, 1, "validation", UNIT),
        lines,
        vertical=best,
    )
    return chart.draw()


def _said(name: str) -> str:
    return name.replace("val_auc", "val AUC").replace("_", " ")


def training(files: RunFiles) -> Section:
    """Loss and validation figures per epoch, and which epoch was chosen."""
    metrics = files.metrics
    names = [name for name in (metrics[-1] if metrics else {}) if name.startswith("val_")]
    names.sort(key=lambda name: (name != "val_auc", name != "val_accuracy", name))
    drawn = [name for name in names if _series(metrics, name)]
    kept, settings = files.training.get("kept_epoch"), files.training.get("settings", {})
    last, share = settings.get("keep") == "last", settings.get("start_share")
    mark = (float(kept), "kept") if values.is_number(kept) else None
    sentence = join(
        [
            "The last epoch was kept: epoch "
            if last
            else "The epoch with the highest AUC on the validation split was chosen: epoch ",
            values.count(kept),
            ", validation AUC ",
            values.decimal(files.training.get("val_auc")),
            f" (of the mean with the weights it started from, whose share is {share})" if share else "",
            ". The test split was never read in training.",
        ]
    )
    plots = tag(
        "div",
        _loss_chart(metrics, mark),
        tag(
            "div",
            _accuracy_chart(metrics, drawn, mark),
            legend(
                [(k, _said(name)) for k, name in enumerate(drawn)],
            ),
        ),
        class_="plots",
    )
    columns = [Column("epoch", figures=False), Column("loss"), *(Column(_said(name)) for name in names)]
    rows = [
        [
            values.count(line["epoch"]),
            values.decimal(line.get("loss"), 4),
            *(values.decimal(line.get(name)) for name in names),
        ]
        for line in metrics
    ]
    listed = tag(
        "details",
        tag("summary", "Figures of every epoch"),
        simple_table("By epoch", columns, rows, [METRICS]),
    )
    caption = "Training loss, and figures of the averaged network on the validation split."
    return Section(
        "training",
        "Training",
        join(
            [
                paragraphs(sentence),
                figure(caption, plots, [METRICS, TRAINING]),
                listed,
            ]
        ),
    )


def roc_points(files: RunFiles, dataset: str) -> list[tuple[float, float]]:
    """(FPR, TPR) points of a dataset's scores; none where a class is missing."""
    rows = scored(files, dataset)
    return curve_of(rows.label, rows.score)


def roc_section(files: RunFiles) -> Section:
    """ROC curves of the detector, one per dataset, with the AUC that evaluate measured."""
    lines, names = [], []
    for k, dataset in enumerate(files.datasets):
        utility = files.results["datasets"][dataset]["utility"]
        lines.append(Line(dataset, roc_points(files, dataset), k))
        sizes = [
            " ",
            values.count(utility.get("n_real")),
            " real, ",
            values.count(utility.get("n_fake")),
            " fake",
        ]
        auc = values.decimal(utility.get("AUC"))
        names.append((k, join([tag("strong", dataset), " AUC ", auc, tag("span", *sizes, class_="muted")])))
    chart = LineChart(
        "ROC curves, one per dataset",
        Axis(0, 1, "false positive rate", UNIT),
        Axis(0, 1, "true positive rate", UNIT),
        lines,
        Frame(width=400, height=380),
        diagonal=True,
    )
    caption = (
        "ROC curves over all images of a dataset. The thin diagonal is chance, where a constant predictor"
        " lies. Datasets whose name ends in -heldout have the forgeries that were never seen in training."
    )
    body = tag("div", chart.draw(), legend(names), class_="plots roc")
    return Section("roc", "ROC", figure(caption, body, [SCORES, RESULTS]))
