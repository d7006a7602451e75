"""Sections about fairness: rates per cell with n, and the table over datasets, detector beside constant
predictor.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from pipeline.report import values
from pipeline.report.bars import Bar, bar_chart
from pipeline.report.fairness_values import (
    GAPS,
    KINDS,
    MEANING,
    UTILITY,
    bounds_of,
    chance_of,
    interval_of,
    not_estimable,
    reason_of,
    ties_of,
    value_of,
)
from pipeline.report.markup import Html, join, paragraphs, tag
from pipeline.report.run_files import RESULTS, RunFiles
from pipeline.report.tables import Column, Group, Section, figure, table

NO_IMAGE = {"n": 0, "n_real": 0, "n_fake": 0}
BARS = (("TPR", "n_fake"), ("FPR", "n_real"), ("ACC", "n"), ("AUC", "n"))


def _panel(entry: Mapping[str, Any], dataset: str, metric: str, n_name: str, cells: Sequence[str]) -> Html:
    groups = entry["groups"]["cell"]
    bars = []
    for cell in [*cells, *sorted(set(groups) - set(cells))]:
        group = groups.get(cell, NO_IMAGE)
        n = group.get(n_name)
        bars.append(
            Bar(
                cell,
                f"n {n}" if n is not None else "",
                value_of(group, metric),
                interval_of(group, metric),
                reason_of(group, metric),
            )
        )
    chart = bar_chart(f"{metric} by cell, {dataset}", bars, value_of(entry["utility"], metric))
    return tag("div", tag("h4", f"{metric}: {MEANING[metric]}"), chart)


def cell_bars(files: RunFiles) -> Section:
    """TPR, FPR, ACC and AUC of every cell, dataset by dataset."""
    threshold = files.results["threshold"]
    intro = paragraphs(
        join(
            [
                "A row is called fake where its score is at least ",
                values.decimal(threshold.get("value")),
                (
                    f" (policy: {threshold.get('policy')}). The dashed line is the figure over all cells"
                    " together; n is the number of images the rate is a share of; whiskers are 95 % intervals"
                    " that know which images are of one identity, where the file has them."
                ),
            ]
        )
    )
    parts: list[Html] = [intro]
    for dataset in files.datasets:
        entry = files.results["datasets"][dataset]
        panels = [_panel(entry, dataset, metric, n_name, files.cell_names) for metric, n_name in BARS]
        methods = ", ".join(entry.get("methods") or [])
        caption = (
            f"{dataset}: rates per cell. Fakes by {methods}." if methods else f"{dataset}: rates per cell."
        )
        parts += [tag("h3", dataset), figure(caption, tag("div", *panels, class_="plots"), [RESULTS])]
    return Section("cells", "Rates per cell", join(parts))


def _figure(entry: Mapping[str, Any] | None, metric: str, intervals: bool) -> Html:
    if entry is None:
        return values.undefined("not in evaluate/results.json")
    interval = interval_of(entry, metric) if intervals else None
    return values.with_interval(entry.get(metric), interval, reason_of(entry, metric))


def _predictors(files: RunFiles) -> dict[str, Mapping[str, Any]]:
    """Entries by dataset of the detector, of its floors and of the constant predictor, by the titles of their
    columns.
    """
    return {
        "detector": files.results["datasets"],
        **files.results.get("floors", {}),
        "constant": files.results["constant_predictor"],
    }


def _row(files: RunFiles, metric: str, path: tuple[str, ...]) -> list[object]:
    cells: list[object] = [tag("abbr", metric, title=MEANING[metric])]
    for dataset in files.datasets:
        for title, entries in _predictors(files).items():
            entry: Any = entries.get(dataset)
            for key in path:
                entry = entry.get(key) if isinstance(entry, dict) else None
            cells.append(_figure(entry, metric, intervals=title != "constant"))
    return cells


def _entries(files: RunFiles, dataset: str) -> list[tuple[Mapping[str, Any], bool]]:
    """(entry, whether intervals are shown) of every predictor."""
    return [
        (entries.get(dataset) or {}, title != "constant") for title, entries in _predictors(files).items()
    ]


def _method_rows(files: RunFiles) -> list[list[object]]:
    """AADPD per kind of groups; empty where no dataset has it."""
    rows: list[list[object]] = []
    for kind, title in KINDS.items():
        row: list[object] = [f"AADPD, {title}"]
        for dataset in files.datasets:
            for entry, intervals in _entries(files, dataset):
                gaps = (entry.get("by_method") or {}).get(kind) or {}
                row.append(
                    values.with_interval(
                        gaps.get("AADPD"), gaps.get("interval") if intervals else None, "no two groups"
                    )
                )
        rows.append(row)
    known = any((files.results["datasets"][dataset].get("by_method")) for dataset in files.datasets)
    return rows if known else []


def _shift_rows(files: RunFiles) -> list[list[object]]:
    """The score shift within counterfactual sets; empty where no dataset has such sets."""
    if not any(files.results["datasets"][dataset].get("counterfactual") for dataset in files.datasets):
        return []
    rows: list[list[object]] = []
    for title, key in (("highest - lowest score", "mean_range"), ("sets not all called the same", "flips")):
        row: list[object] = [title]
        for dataset in files.datasets:
            for entry, intervals in _entries(files, dataset):
                shift = entry.get("counterfactual") or {}
                between = shift.get("interval") if intervals and key == "mean_range" else None
                row.append(values.with_interval(shift.get(key), between, "no counterfactual sets"))
        rows.append(row)
    return rows


def _how_often(p: Any, bounds: tuple[float, float] | None) -> Html | str:
    """The p of a gap, and between which ends ties could move it."""
    if not values.is_number(p):
        return ""
    own = tag("span", "p ", values.decimal(p), class_="interval")
    if not bounds:
        return own
    ends = ["ties ", values.decimal(bounds[0]), " to ", values.decimal(bounds[1])]
    return join([own, tag("span", *ends, class_="interval")])


def _chance_table(files: RunFiles) -> Html:
    """Each gap of the detector beside what chance would give on this very test set."""
    columns = [Column("figure", figures=False)]
    for dataset in files.datasets:
        columns += [Column(title, group=dataset) for title in ("gap", "corrected", "by chance", "detectable")]
    groups = []
    for kind, title in KINDS.items():
        rows: list[list[object]] = []
        for metric in GAPS:
            row: list[object] = [metric]
            for dataset in files.datasets:
                gaps = files.results["datasets"][dataset]["gaps"].get(kind, {})
                reason = "not measured in this mode" if "null" not in gaps else reason_of(gaps, metric)
                by_chance, p, detectable = chance_of(gaps, metric)
                gap = values.decimal(gaps.get(metric), reason=reason_of(gaps, metric))
                row.append(join([gap, _how_often(p, bounds_of(gaps, metric))]))
                corrected = (gaps.get("corrected") or {}).get(metric)
                row += [values.decimal(value, reason=reason) for value in (corrected, by_chance, detectable)]
            rows.append(row)
        groups.append(Group(rows, f"Gaps between {title}"))
    return table(
        "Gaps of the detector against chance",
        columns,
        groups,
        [RESULTS],
        [
            (
                "Corrected: the estimate without the upward bias of largest - smallest; 0 where equal groups"
                " give as much. By chance: 95 % of gaps are below this if all groups are treated alike, by"
                " permutation. p: how often chance exceeds the gap found; below it, where ties matter, p"
                " with none and with all of them. Detectable: the smallest gap this set would show with 80 %"
                " power. A gap below these proves neither fairness nor unfairness."
            ),
            ties_of(files.results),
        ],
    )


def _undefined_list(files: RunFiles) -> Html:
    items = [
        tag("li", f"{dataset}: {line}")
        for dataset in files.datasets
        for line in not_estimable(files.results["datasets"][dataset])
    ]
    if not items:
        return paragraphs("Every group had enough real and fake images for every figure.")
    return join([paragraphs("Not estimable, and left out of the gaps:"), tag("ul", *items)])


def cross_table(files: RunFiles) -> Section:
    """Utility and gaps of every dataset; detector, floors and constant predictor side by side."""
    columns = [Column("figure", figures=False)]
    for dataset in files.datasets:
        columns += [Column(title, group=dataset, muted=title != "detector") for title in _predictors(files)]
    counts: list[list[object]] = []
    for name, title in (("n", "images"), ("n_real", "real"), ("n_fake", "fake")):
        row: list[object] = [title]
        for dataset in files.datasets:
            row += [values.count(entry.get("utility", {}).get(name)) for entry, _ in _entries(files, dataset)]
        counts.append(row)
    groups = [Group([*counts, *(_row(files, m, ("utility",)) for m in UTILITY)], "Utility, all images")]
    groups += [
        Group([_row(files, m, ("gaps", kind)) for m in GAPS], f"Gaps between {title}")
        for kind, title in KINDS.items()
    ]
    groups += [
        Group(rows, title)
        for rows, title in (
            (_method_rows(files), "Demographic parity within each method"),
            (_shift_rows(files), "Counterfactual sets"),
        )
        if rows
    ]
    intro = paragraphs(
        "The constant predictor calls every image fake. It treats all groups alike and is useless: a small"
        " gap is worth something only next to a high AUC. A gap is the largest of several differences, and"
        " grows when groups are small.",
    )
    notes = [
        (
            "Small figures below a value: its 95 % interval, which knows which images are of one identity."
            " That of a gap holds the gaps that a test does not reject, and begins at 0 where chance gives as"
            " much."
        ),
    ]
    if any(
        "F_DP_raw" in gaps for entry in files.results["datasets"].values() for gaps in entry["gaps"].values()
    ):
        notes.append(
            "F_DP compares the groups at the same share of fakes: more fakes are called fake more often."
        )
    notes.append(
        "AADPD: the largest difference of the share called fake between groups, among the real images and"
        " among the fakes of each method apart, then the mean of these."
    )
    notes += ["; ".join(f"{name}: {meaning}" for name, meaning in MEANING.items()) + "."]
    if "linear probe" in _predictors(files):
        notes.append(
            "Linear probe: a logistic regression on frozen ImageNet features, fitted to the training split."
            " What it reads is there without having learned anything about forgeries."
        )
    notes += [f"Without {title}: {why}." for title, why in files.results.get("floors_left_out", {}).items()]
    body = table("Utility and fairness over datasets", columns, groups, [RESULTS], notes)
    return Section(
        "datasets",
        "Across datasets",
        join(
            [
                intro,
                body,
                _chance_table(files),
                _undefined_list(files),
            ]
        ),
    )
