"""HTML and SVG as nested elements. What is not `Html` already is escaped, so no value of a run can become
markup.
"""

from __future__ import annotations

from collections.abc import Iterable
from html import escape

from manifests.escaping import multiline

Attribute = str | int | float | bool | None
VOID = frozenset({"br", "img", "link", "meta"})
BLOCKS = frozenset(
    {
        "body",
        "details",
        "dl",
        "figure",
        "figcaption",
        "footer",
        "h1",
        "h2",
        "h3",
        "head",
        "header",
        "html",
        "li",
        "link",
        "main",
        "meta",
        "nav",
        "ol",
        "p",
        "pre",
        "section",
        "style",
        "svg",
        "table",
        "tbody",
        "thead",
        "title",
        "tr",
        "ul",
    }
)


class Html(str):
    """Text that is HTML already. Joining it with plain text gives plain text, which is escaped when used."""

    __slots__ = ()


def text(value: object) -> Html:
    """`value` as HTML: itself when it is `Html`, else its text, escaped (quotes too)."""
    return value if isinstance(value, Html) else Html(escape(multiline(str(value)), quote=True))


def join(parts: Iterable[object], separator: str = "") -> Html:
    """Parts one after another, each escaped unless it is `Html`."""
    return Html(str(text(separator)).join(text(part) for part in parts))


def _attribute(name: str, value: Attribute) -> str:
    name = name.removesuffix("_").replace("_", "-")
    if value is None or value is False:
        return ""
    return f" {name}" if value is True else f' {name}="{escape(multiline(str(value)), quote=True)}"'


def tag(name: str, /, *children: object, **attributes: Attribute) -> Html:
    """An element. In attribute names `_` is `-`, and one at the end is dropped: `class_`, `aria_label`.

    An attribute that is None or False is left out; True stands without a value.

    >>> tag("a", "a < b", class_="note")
    '<a class="note">a &lt; b</a>'
    """
    opening = f"<{name}{''.join(_attribute(k, v) for k, v in attributes.items())}>"
    end = "\n" if name in BLOCKS else ""
    if name in VOID:
        return Html(opening + end)
    return Html(f"{opening}{join(children)}</{name}>{end}")


def paragraphs(*lines: object) -> Html:
    """Each line as a paragraph."""
    return join(tag("p", line) for line in lines)
