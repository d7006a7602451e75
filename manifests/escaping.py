r"""What comes from files, as it may stand in a line, on a terminal, in Markdown, in CSV and in LaTeX:
shown, never acting.

One function per medium, and nothing else escapes (HTML: `pipeline.report.markup`). A name can hold escape
sequences that redraw a terminal, a line break that forges a line of output, marks that turn text round, a
formula, or markup.
"""

from __future__ import annotations

import csv
import io
import os
from collections.abc import Iterable
from typing import Any

FORMULA = ("=", "+", "-", "@")
"""What a spreadsheet takes a text for a formula by."""
_TEX = {
    "&": r"\&",
    "%": r"\%",
    "$": r"\$",
    "#": r"\#",
    "_": r"\_",
    "{": r"\{",
    "}": r"\}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "\\": r"\textbackslash{}",
}


def _shown(text: str, kept: str) -> str:
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() or c in kept else c.encode("unicode_escape").decode() for c in text)


def one_line(value: object) -> str:
    r"""A value's text in a line: control characters, line breaks and marks of direction as escapes.

    They are shown as `\x1b`, `\n`, `\u202e`.
    """
    return _shown(str(value), "")


def multiline(text: str) -> str:
    """Text of several lines for a terminal: its line breaks and tabs are kept, all else as `one_line`."""
    return _shown(text, "\n\t")


def printable(name: str) -> str:
    r"""A file's name as `one_line` shows it, and bytes that are not UTF-8 as escapes: `caf\xe9.jpg`."""
    return one_line(os.fsencode(name).decode("utf-8", "backslashreplace"))


def markdown(value: object) -> str:
    """A value's text in a cell or a line of Markdown: it ends no cell, and is no tag and no link."""
    text = one_line(value).replace("\\", "\\\\")
    for mark in ("|", "<", "`"):
        text = text.replace(mark, f"\\{mark}")
    return text.replace("](", "]\\(")


def markdown_code(value: object) -> str:
    """A value's text as code in a line of Markdown."""
    return f"`{one_line(value).replace('`', chr(39))}`"


def latex(value: object) -> str:
    """A value's text in LaTeX, in which no letter is a command."""
    return "".join(_TEX.get(letter, letter) for letter in one_line(value))


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def _cell(value: Any) -> Any:
    if not isinstance(value, str):
        return value
    text = one_line(value)
    return f"'{text}" if text.lstrip().startswith(FORMULA) and not _is_number(text) else text


def csv_text(rows: Iterable[Iterable[Any]]) -> str:
    """Rows as CSV: numbers as they are; a text that a spreadsheet would compute begins with an apostrophe."""
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows([_cell(value) for value in row] for row in rows)
    return text.getvalue()


def markdown_table(
    head: Iterable[object], rows: Iterable[Iterable[object]], aligned: str = "---"
) -> list[str]:
    """The lines of a Markdown table, every cell escaped. aligned: the rule below all columns but the
    first.
    """
    first, *others = [[markdown(cell) for cell in row] for row in (head, *rows)]
    rule = ["---", *[aligned] * (len(first) - 1)]
    return [f"| {' | '.join(row)} |" for row in (first, rule, *others)]
