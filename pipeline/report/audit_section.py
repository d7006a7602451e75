"""Section about the audits: which passed, what they found, and every figure they measured."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pipeline.report import values
from pipeline.report.markup import Html, join, paragraphs, tag
from pipeline.report.run_files import AUDIT, RunFiles
from pipeline.report.section import Section
from pipeline.report.tables import Column, simple_table


def _verdict(passed: bool) -> Html:
    return tag("span", "passed" if passed else "failed", class_="passed" if passed else "failed")


def _words(name: str) -> str:
    return name.replace("_", " ")


def _scalar(value: Any) -> bool:
    return not isinstance(value, dict | list) or (isinstance(value, list) and not any(
        isinstance(item, dict | list) for item in value
    ))


def _as_rows(figures: Any) -> list[tuple[str, Mapping[str, Any]]] | None:
    """Name -> record tables, or lists of records, as named rows; None for anything else."""
    if isinstance(figures, dict) and figures and all(isinstance(v, dict) for v in figures.values()):
        return list(figures.items())
    if isinstance(figures, list) and figures and all(isinstance(v, dict) for v in figures):
        return [(str(k), record) for k, record in enumerate(figures, 1)]
    return None


def figure_tables(caption: str, figures: Mapping[str, Any]) -> Html:
    """Any figures as tables: plain ones two columns wide, records one per row, deeper ones by themselves."""
    plain = [[_words(name), values.plain(value)] for name, value in figures.items() if _scalar(value)]
    columns = [Column("figure", figures=False), Column("value")]
    parts = [simple_table(caption, columns, plain, [AUDIT])] if plain else []
    for name, value in figures.items():
        if _scalar(value):
            continue
        title, rows = f"{caption}: {_words(name)}", _as_rows(value)
        if rows is None:
            parts.append(figure_tables(title, value) if isinstance(value, dict) else tag("p", values.plain(value)))
        elif all(_scalar(item) for _, record in rows for item in record.values()):
            parts.append(_records(title, rows))
        else:
            parts += [figure_tables(f"{title}: {_words(row)}", record) for row, record in rows]
    return join(parts)


def _records(title: str, rows: list[tuple[str, Mapping[str, Any]]]) -> Html:
    names = list(dict.fromkeys(key for _, record in rows for key in record))
    columns = [Column("", figures=False), *(
        Column(_words(key), figures=all(not isinstance(record.get(key), str) for _, record in rows)) for key in names
    )]
    body = [[_words(name), *(values.plain(record[k]) if k in record else "" for k in names)] for name, record in rows]
    return simple_table(title, columns, body, [AUDIT])


def _findings(findings: list[Any]) -> Html:
    if not findings:
        return paragraphs("Nothing found.")
    return tag("ul", *(tag("li", values.plain(finding)) for finding in findings))


def audit(files: RunFiles) -> Section:
    """Can trivial features tell real from fake? Are there duplicates, leaks, an imbalance?"""
    audits = files.audit["audits"]
    intro = paragraphs(
        "The audits ask what a detector could learn without looking at the face: whether trivial features of the files "
        "tell real from fake, whether images or identities cross the splits, whether the cells are balanced.",
    )
    rows = [[_words(name), _verdict(one["passed"]), values.count(len(one["findings"]))] for name, one in audits.items()]
    columns = [Column("audit", figures=False), Column("verdict", figures=False), Column("findings")]
    parts = [intro, simple_table("Audits of the dataset", columns, rows, [AUDIT])]
    for name, one in audits.items():
        figures = figure_tables(f"Figures of {_words(name)}", one.get("figures") or {})
        parts += [tag("h3", _words(name)), _findings(one["findings"]), figures]
    return Section("audit", "Shortcut audit", join(parts))
