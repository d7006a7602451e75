"""Sections about fairness: rates per cell with n, and the table over datasets, detector beside constant predictor."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from pipeline.report import values
from pipeline.report.bars import Bar, bar_chart
from pipeline.report.fairness_values import GAPS, KINDS, MEANING, UTILITY, interval_of, reason_of, value_of
from pipeline.report.markup import Html, join, paragraphs, tag
from pipeline.report.run_files import RESULTS, RunFiles
from pipeline.report.section import Section
from pipeline.report.tables import Column, Group, figure, table

BARS = (("TPR", "n_fake"), ("FPR", "n_real"), ("ACC", "n"), ("AUC", "n"))


def _panel(entry: Mapping[str, Any], dataset: str, metric: str, n_name: str, cells: Sequence[str]) -> Html:
    groups = entry["groups"]["cell"]
    bars = []
    for cell in [*(c for c in cells if c in groups), *sorted(set(groups) - set(cells))]:
        group = groups[cell]
        n = group.get(n_name)
        bars.append(Bar(
            cell, f"n {n}" if n is not None else "", value_of(group, metric), interval_of(group, metric),
            reason_of(group, metric),
        ))
    chart = bar_chart(f"{metric} by cell, {dataset}", bars, value_of(entry["utility"], metric))
    return tag("div", tag("h4", f"{metric}: {MEANING[metric]}"), chart)


def cell_bars(files: RunFiles) -> Section:
    """TPR, FPR, ACC and AUC of every cell, dataset by dataset."""
    threshold = files.results["threshold"]
    intro = paragraphs(join([
        "A row is called fake where its score is at least ", values.decimal(threshold.get("value")),
        f" (policy: {threshold.get('policy')}). The dashed line is the figure over all cells together; n is the number "
        "of images the rate is a share of; whiskers are confidence intervals, where the file has them.",
    ]))
    parts: list[Html] = [intro]
    for dataset in files.datasets:
        entry = files.results["datasets"][dataset]
        panels = [_panel(entry, dataset, metric, n_name, files.cell_names) for metric, n_name in BARS]
        methods = ", ".join(entry.get("methods") or [])
        caption = f"{dataset}: rates per cell. Fakes by {methods}." if methods else f"{dataset}: rates per cell."
        parts += [tag("h3", dataset), figure(caption, tag("div", *panels, class_="plots"), [RESULTS])]
    return Section("cells", "Rates per cell", join(parts))


def _figure(entry: Mapping[str, Any] | None, metric: str) -> Html:
    if entry is None:
        return values.undefined("not in evaluate/results.json")
    return values.with_interval(entry.get(metric), interval_of(entry, metric), reason_of(entry, metric))


def _row(files: RunFiles, metric: str, path: tuple[str, ...]) -> list[object]:
    cells: list[object] = [tag("abbr", metric, title=MEANING[metric])]
    for dataset in files.datasets:
        for predictor in ("datasets", "constant_predictor"):
            entry: Any = files.results[predictor].get(dataset)
            for key in path:
                entry = entry.get(key) if isinstance(entry, dict) else None
            cells.append(_figure(entry, metric))
    return cells


def cross_table(files: RunFiles) -> Section:
    """Utility and gaps of every dataset; detector and constant predictor side by side."""
    columns = [Column("figure", figures=False)]
    for dataset in files.datasets:
        columns += [Column("detector", group=dataset), Column("constant", group=dataset, muted=True)]
    counts: list[list[object]] = []
    for name, title in (("n", "images"), ("n_real", "real"), ("n_fake", "fake")):
        row: list[object] = [title]
        for dataset in files.datasets:
            row += [values.count(files.results[p][dataset]["utility"].get(name)) for p in
                    ("datasets", "constant_predictor")]
        counts.append(row)
    groups = [Group([*counts, *(_row(files, m, ("utility",)) for m in UTILITY)], "Utility, all images")]
    groups += [
        Group([_row(files, m, ("gaps", kind)) for m in GAPS], f"Gaps between {title}")
        for kind, title in KINDS.items()
    ]
    intro = paragraphs(
        "The constant predictor calls every image fake. It treats all groups alike and is useless: a small gap is "
        "worth something only next to a high AUC. A gap is the largest of several differences, and grows when groups "
        "are small.",
    )
    notes = ["; ".join(f"{name}: {meaning}" for name, meaning in MEANING.items()) + "."]
    body = table("Utility and fairness over datasets", columns, groups, [RESULTS], notes)
    return Section("datasets", "Across datasets", join([intro, body]))
