"""A cross-dataset table as Markdown, CSV, LaTeX, HTML and JSON."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import asdict

from manifests.escaping import csv_text, latex, markdown, markdown_table
from pipeline.commands.evaluate.table import CrossTable, Figure
from pipeline.report.markup import text


def _head(table: CrossTable) -> list[str]:
    return [
        "detector",
        *(f"{name} ({table.scope[name]}) {figure}" for name in table.datasets for figure in table.figures),
    ]


def _figures(table: CrossTable, detector: str) -> list[Figure]:
    row = table.cells[detector]
    return [row.get(name, {}).get(figure, Figure()) for name in table.datasets for figure in table.figures]


def _note(table: CrossTable) -> str:
    return (
        f"Gaps between groups of kind {table.kind}, as fractions; small ones mean little beside a low AUC."
        " [95 % interval]."
    )


def as_markdown(table: CrossTable) -> str:
    """Markdown, with the note below."""
    rows = [[detector, *(f.text() for f in _figures(table, detector))] for detector in table.detectors]
    return "\n".join([*markdown_table(_head(table), rows), "", markdown(_note(table))])


def as_csv(table: CrossTable) -> str:
    """CSV in long form, full precision: one line per detector, dataset and figure; empty for what is
    undefined.
    """
    rows: list[list[object]] = [["detector", "dataset", "scope", "groups", "figure", "value", "low", "high"]]
    for detector in table.detectors:
        for dataset in table.datasets:
            for name in table.figures:
                figure = table.cells[detector].get(dataset, {}).get(name, Figure())
                rows.append(
                    [
                        detector,
                        dataset,
                        table.scope[dataset],
                        table.kind,
                        name,
                        figure.value,
                        figure.low,
                        figure.high,
                    ]
                )
    return csv_text(rows)


def as_latex(table: CrossTable) -> str:
    """A LaTeX tabular of the package booktabs; values without intervals, which would not fit a page."""
    per = len(table.figures)
    groups = " & ".join(
        rf"\multicolumn{{{per}}}{{c}}{{{latex(name)} ({latex(table.scope[name])})}}"
        for name in table.datasets
    )
    rules = " ".join(
        rf"\cmidrule(lr){{{2 + per * k}-{1 + per * (k + 1)}}}" for k in range(len(table.datasets))
    )
    names = " & ".join(latex(figure) for _ in table.datasets for figure in table.figures)
    rows = [
        " & ".join([latex(detector), *(Figure(f.value).text() for f in _figures(table, detector))]) + r" \\"
        for detector in table.detectors
    ]
    return "\n".join(
        [
            rf"\begin{{tabular}}{{l{'r' * per * len(table.datasets)}}}",
            r"\toprule",
            rf" & {groups} \\",
            rules,
            rf"detector & {names} \\",
            r"\midrule",
            *rows,
            r"\bottomrule",
            r"\end{tabular}",
            f"% {latex(_note(table))}",
        ]
    )


def as_html(table: CrossTable) -> str:
    """A self-contained HTML table."""
    sets = "".join(
        f'<th colspan="{len(table.figures)}" scope="colgroup">{text(name)}'
        f" <small>({text(table.scope[name])})</small></th>"
        for name in table.datasets
    )
    names = "".join(
        f'<th scope="col">{text(figure)}</th>' for _ in table.datasets for figure in table.figures
    )
    rows = "\n".join(
        f'<tr><th scope="row">{text(detector)}</th>'
        + "".join(f"<td>{text(f.text())}</td>" for f in _figures(table, detector))
        + "</tr>"
        for detector in table.detectors
    )
    return (
        '<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8"><title>Detectors by'
        " datasets</title></head><body>\n<table>\n"
        f'<caption>{text(_note(table))}</caption>\n<thead><tr><th rowspan="2"'
        f' scope="col">detector</th>{sets}</tr>\n'
        f"<tr>{names}</tr></thead>\n<tbody>\n{rows}\n</tbody></table>\n</body></html>"
    )


def as_value(table: CrossTable) -> dict[str, object]:
    """The table as JSON-able values."""
    return asdict(table)


def as_json(table: CrossTable) -> str:
    """JSON, None for what is undefined."""
    return json.dumps(as_value(table), indent=1, sort_keys=True, allow_nan=False)


FORMATS: dict[str, Callable[[CrossTable], str]] = {
    "md": as_markdown,
    "csv": as_csv,
    "tex": as_latex,
    "html": as_html,
    "json": as_json,
}
