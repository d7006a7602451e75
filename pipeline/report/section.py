"""A section of the page: anchor, title, body."""

from __future__ import annotations

from dataclasses import dataclass

from pipeline.report.markup import Html, tag


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
