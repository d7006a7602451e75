"""Reads a report page back: elements, tables by caption, exact values of `<data>`, attributes."""

from dataclasses import dataclass, field
from html.parser import HTMLParser

VOID = {"br", "img", "link", "meta"}


@dataclass
class Cell:
    text: str = ""
    values: list[str] = field(default_factory=list)


class Page(HTMLParser):
    """A page taken apart; fails on a tag that is closed out of order."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.stack: list[str] = []
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.tables: dict[str, list[list[Cell]]] = {}
        self.sources: list[str] = []
        self.text: dict[str, str] = {"": ""}
        self._section, self._caption, self._cell, self._in_caption, self._in_source = (
            "",
            "",
            None,
            False,
            False,
        )
        self._rows: list[list[Cell]] = []
        self.feed(html)
        self.close()
        assert not self.stack, self.stack

    def handle_starttag(self, tag, attrs):
        attributes = dict(attrs)
        self.elements.append((tag, attributes))
        if tag not in VOID:
            self.stack.append(tag)
        if tag == "section":
            self._section = attributes["id"]
            self.text[self._section] = ""
        elif tag == "table":
            self._rows, self._caption = [], ""
        elif tag == "caption":
            self._in_caption = True
        elif tag == "tr":
            self._rows.append([])
        elif tag in ("td", "th"):
            self._cell = Cell()
            self._rows[-1].append(self._cell)
        elif tag == "data" and self._cell is not None:
            self._cell.values.append(attributes["value"])
        elif tag == "p" and attributes.get("class") == "source":
            self._in_source = True

    def handle_endtag(self, tag):
        assert self.stack.pop() == tag
        if tag == "table":
            assert self._caption not in self.tables, f"two tables are called {self._caption!r}"
            self.tables[self._caption] = self._rows
        elif tag == "caption":
            self._in_caption = False
        elif tag in ("td", "th"):
            self._cell = None
        elif tag == "p":
            self._in_source = False
        elif tag == "section":
            self._section = ""

    def handle_data(self, data):
        self.text[self._section] += data
        if self._in_caption:
            self._caption += data
        if self._cell is not None:
            self._cell.text += data
        if self._in_source and self.stack[-1] == "code":
            self.sources.append(data)

    def all(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.elements if name == tag]

    def row(self, caption: str, name: str, nth: int = 0) -> list[Cell]:
        """The nth row whose header says `name`, without the header."""
        return [row for row in self.tables[caption] if row and row[0].text == name][nth][1:]
