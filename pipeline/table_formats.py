"""A cross-dataset table as Markdown, CSV, LaTeX, HTML and JSON."""

from __future__ import annotations

import csv
import html
import io
import json
from collections.abc import Callable
from dataclasses import asdict

from pipeline.cross_table import CrossTable, Figure

TEX = {"&": r"\&", "%": r"\%", "$": r"\$", "#": r"\#", "_": r"\_", "{": r"\{", "}": r"\}", "~": r"\textasciitilde{}",
       "^": r"\textasciicircum{}", "\\": r"\textbackslash{}"}


def _head(table: CrossTable) -> list[str]:
    return ["detector", *(f"{name} ({table.scope[name]}) {figure}" for name in table.datasets for figure in table.figures)]


def _figures(table: CrossTable, detector: str) -> list[Figure]:
    row = table.cells[detector]
    return [row.get(name, {}).get(figure, Figure()) for name in table.datasets for figure in table.figures]


def _note(table: CrossTable) -> str:
    return f"Gaps between groups of kind {table.kind}, as fractions; small ones mean little beside a low AUC. [95 % interval]."


def as_markdown(table: CrossTable) -> str:
    """Markdown, with the note below."""
    rows = [_head(table), ["---"] * len(_head(table))]
    rows += [[detector, *(f.text() for f in _figures(table, detector))] for detector in table.detectors]
    lines = [f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in row)} |" for row in rows]
    return "\n".join([*lines, "", _note(table)])


def as_csv(table: CrossTable) -> str:
    """CSV in long form, full precision: one line per detector, dataset and figure; empty for what is undefined."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["detector", "dataset", "scope", "groups", "figure", "value", "low", "high"])
    for detector in table.detectors:
        for dataset in table.datasets:
            for name in table.figures:
                figure = table.cells[detector].get(dataset, {}).get(name, Figure())
                writer.writerow([detector, dataset, table.scope[dataset], table.kind, name, figure.value, figure.low, figure.high])
    return text.getvalue()


def _tex(text: str) -> str:
    return "".join(TEX.get(letter, letter) for letter in text)


def as_latex(table: CrossTable) -> str:
    """A LaTeX tabular of the package booktabs; values without intervals, which would not fit a page."""
    per = len(table.figures)
    groups = " & ".join(rf"\multicolumn{{{per}}}{{c}}{{{_tex(name)} ({table.scope[name]})}}" for name in table.datasets)
    rules = " ".join(rf"\cmidrule(lr){{{2 + per * k}-{1 + per * (k + 1)}}}" for k in range(len(table.datasets)))
    names = " & ".join(_tex(figure) for _ in table.datasets for figure in table.figures)
    rows = [
        " & ".join([_tex(detector), *(Figure(f.value).text() for f in _figures(table, detector))]) + r" \\"
        for detector in table.detectors
    ]
    return "\n".join([
        rf"\begin{{tabular}}{{l{'r' * per * len(table.datasets)}}}", r"\toprule", rf" & {groups} \\", rules,
        rf"detector & {names} \\", r"\midrule", *rows, r"\bottomrule", r"\end{tabular}", f"% {_tex(_note(table))}",
    ])


def as_html(table: CrossTable) -> str:
    """A self-contained HTML table."""
    sets = "".join(
        f'<th colspan="{len(table.figures)}" scope="colgroup">{html.escape(name)} <small>({table.scope[name]})</small></th>'
        for name in table.datasets
    )
    names = "".join(f'<th scope="col">{html.escape(figure)}</th>' for _ in table.datasets for figure in table.figures)
    rows = "\n".join(
        f'<tr><th scope="row">{html.escape(detector)}</th>'
        + "".join(f"<td>{html.escape(f.text())}</td>" for f in _figures(table, detector)) + "</tr>"
        for detector in table.detectors
    )
    return (
        '<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8"><title>Detectors by datasets</title></head><body>\n<table>\n'
        f'<caption>{html.escape(_note(table))}</caption>\n<thead><tr><th rowspan="2" scope="col">detector</th>{sets}</tr>\n'
        f"<tr>{names}</tr></thead>\n<tbody>\n{rows}\n</tbody></table>\n</body></html>"
    )


def as_value(table: CrossTable) -> dict[str, object]:
    """The table as JSON-able values."""
    return asdict(table)


def as_json(table: CrossTable) -> str:
    """JSON, None for what is undefined."""
    return json.dumps(as_value(table), indent=1, sort_keys=True, allow_nan=False)


FORMATS: dict[str, Callable[[CrossTable], str]] = {
    "md": as_markdown, "csv": as_csv, "tex": as_latex, "html": as_html, "json": as_json,
}
