"""Sections, tables and figures of the page: captions, header cells with a scope, and the file of the run they
show.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from pipeline.report.markup import Html, join, tag, text

DENSE = 10
"""Tables of more columns than this are set closer."""


@dataclass(frozen=True)
class Column:
    """A column: its heading, whether its cells are figures (set right), and a group heading shared with
    neighbours.
    """

    title: str
    figures: bool = True
    group: str = ""
    muted: bool = False


@dataclass(frozen=True)
class Group:
    """Rows under one heading. The first cell of a row is its header."""

    rows: Sequence[Sequence[object]]
    title: str = ""


def source(*files: str) -> Html:
    """The line that says which files of the run a figure or table is made of."""
    return tag("p", "source: ", join((tag("code", name) for name in files), ", "), class_="source")


def _heading(columns: Sequence[Column]) -> Html:
    def cell(column: Column, **attributes: int) -> Html:
        return tag("th", column.title, scope="col", class_=_classes(column), **attributes)

    if not any(column.group for column in columns):
        return tag("thead", tag("tr", *map(cell, columns)))
    top: list[Html] = []
    below: list[Html] = []
    for index, column in enumerate(columns):
        if not column.group:
            top.append(cell(column, rowspan=2))
            continue
        below.append(cell(column))
        if index == 0 or columns[index - 1].group != column.group:
            span = sum(c.group == column.group for c in columns)
            top.append(tag("th", column.group, scope="colgroup", colspan=span, class_="group"))
    return tag("thead", tag("tr", *top), tag("tr", *below))


def _classes(column: Column) -> str | None:
    names = [name for name, on in (("figure", column.figures), ("muted", column.muted)) if on]
    return " ".join(names) or None


def _row(columns: Sequence[Column], cells: Sequence[object]) -> Html:
    first, *rest = cells
    return tag(
        "tr",
        tag("th", first, scope="row"),
        *(tag("td", cell, class_=_classes(column)) for column, cell in zip(columns[1:], rest, strict=True)),
    )


def table(
    caption: str,
    columns: Sequence[Column],
    groups: Iterable[Group],
    files: Sequence[str],
    notes: Sequence[str] = (),
) -> Html:
    """A table that scrolls sideways on narrow screens, with its source line and notes below."""
    bodies = []
    for group in groups:
        title = (
            [tag("tr", tag("th", group.title, scope="rowgroup", colspan=len(columns)))] if group.title else []
        )
        bodies.append(tag("tbody", *title, *(_row(columns, cells) for cells in group.rows)))
    inner = tag(
        "table",
        tag("caption", caption),
        _heading(columns),
        *bodies,
        class_="dense" if len(columns) > DENSE else None,
    )
    return tag(
        "div",
        tag("div", inner, class_="scroll", tabindex=0, role="region", aria_label=caption),
        *(tag("p", text(note), class_="note") for note in notes),
        source(*files),
        class_="tabular",
    )


def simple_table(
    caption: str,
    columns: Sequence[Column],
    rows: Sequence[Sequence[object]],
    files: Sequence[str],
    notes: Sequence[str] = (),
) -> Html:
    """A table of one group of rows."""
    return table(caption, columns, [Group(rows)], files, notes)


def figure(
    caption: object,
    body: Html,
    files: Sequence[str],
    class_: str | None = None,
    *,
    above: bool = False,
) -> Html:
    """A picture or plot with its caption and source line, below it or `above`."""
    said = tag("figcaption", caption, source(*files))
    return tag("figure", *([said, body] if above else [body, said]), class_=class_)


@dataclass(frozen=True)
class Section:
    """One numbered section; `anchor` is its id in the page."""

    anchor: str
    title: str
    body: Html

    def draw(self, number: int) -> Html:
        """The section as HTML, with its heading."""
        heading = tag("h2", tag("span", f"{number}", class_="number"), self.title, id=f"{self.anchor}-title")
        return tag("section", heading, self.body, id=self.anchor, aria_labelledby=f"{self.anchor}-title")
