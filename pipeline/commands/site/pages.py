"""Pages that are made from files outside `docs`, and links that lead to them: model cards, changelog,
notebooks.
"""

from __future__ import annotations

import json
import posixpath
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from pipeline.engine.shipped_files import ROOT, shipped_root

CARDS = {
    "attribute_models/weights/README.md": "cards/attribute-models.md",
    "detector/weights/README.md": "cards/detector.md",
    "generators/weights/README.md": "cards/generators.md",
}
"""Model cards: their place in the project, and as a page."""
OTHERS = {
    "CHANGELOG.md": "changelog.md",
    "CONTRIBUTING.md": "contributing.md",
    "CODE_OF_CONDUCT.md": "conduct.md",
}
DIAGRAM = re.compile(r"```mermaid\n.*?```", re.DOTALL)
DRAWN = "images/architecture.svg"
"""The drawing of the one Mermaid diagram: a reader of the site needs no network for it."""
LINK = re.compile(r"(!?)\[((?:[^\[\]]|\[[^\]]*\])*)\]\(([^)\s]+)\)")
COMMANDS = "commands.md"


def _sources() -> dict[str, str]:
    """Place in the project -> page, of everything outside `docs`."""
    return {**CARDS, **OTHERS}


def _place_of(page: str) -> str:
    """Where a page's text stands in the project; its links are relative to that."""
    return next((place for place, name in _sources().items() if name == page), f"docs/{page}")


def _file(place: str) -> Path:
    """The file of a place in the project: cards lie in their packages, the others in the checkout or among
    what is shipped.
    """
    return (ROOT if place in CARDS else shipped_root()) / place


def made_pages(commands: str) -> dict[str, str]:
    """Page -> Markdown of every page that is no file of `docs`; `commands`: that of the command reference."""
    found = {COMMANDS: commands}
    for place, page in _sources().items():
        found[page] = _file(place).read_text(encoding="utf-8")
    for notebook in sorted((shipped_root() / "docs").rglob("*.ipynb")):
        page = notebook.relative_to(shipped_root() / "docs").with_suffix(".md").as_posix()
        found[page] = notebook_text(notebook)
    return found


def _lines(value: str | list[str]) -> str:
    return (value if isinstance(value, str) else "".join(value)).strip("\n")


def _cell(cell: dict[str, Any]) -> Iterator[str]:
    """A cell as Markdown: text as it is, code in a block, and what it printed."""
    if cell["cell_type"] == "markdown":
        yield _lines(cell["source"])
        return
    yield f"```python\n{_lines(cell['source'])}\n```"
    for output in cell["outputs"]:
        shown = output.get("data", {})
        if "text/markdown" in shown:
            yield _lines(shown["text/markdown"])
        else:
            yield f"```text\n{_lines(output.get('text') or shown.get('text/plain') or '')}\n```"


def notebook_text(path: Path) -> str:
    """A notebook with its outputs as Markdown, and where to get it."""
    cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
    head, *parts = [part for cell in cells for part in _cell(cell)]
    title, _, rest = head.partition("\n")
    return (
        "\n\n".join([title, f"This page is a notebook: [{path.name}]({path.name}).", rest.strip(), *parts])
        + "\n"
    )


def _led(target: str, place: str, page: str) -> str | None:
    """A link's target as the site has it; None where the site does not have it."""
    path, hash_, anchor = target.partition("#")
    goal = posixpath.normpath(posixpath.join(posixpath.dirname(place), path))
    known = _sources()
    if goal in known:
        goal = known[goal]
    elif goal.startswith("docs/"):
        goal = goal.removeprefix("docs/")
    elif goal == "README.md":
        goal = "index.md"
    else:
        return None
    return posixpath.relpath(goal, posixpath.dirname(page) or ".") + hash_ + anchor


def with_links_of_the_site(text: str, page: str) -> str:
    """A page's Markdown, its links to files of the project led to pages; what is no page stays as words."""
    place = _place_of(page)

    def led(found: re.Match[str]) -> str:
        mark, words, target = found.groups()
        if re.match(r"[a-z]+:|#", target):
            return found[0]
        goal = _led(target, place, page)
        return words if goal is None else f"{mark}[{words}]({goal})"

    parts = re.split(r"(```.*?```|`[^`\n]*`)", text, flags=re.DOTALL)
    return "".join(part if at % 2 else LINK.sub(led, part) for at, part in enumerate(parts))


def with_drawing(text: str, page: str) -> str:
    """A page's Markdown with its Mermaid diagram as the drawing that lies beside it."""
    picture = posixpath.relpath(DRAWN, posixpath.dirname(page) or ".")
    return DIAGRAM.sub(
        f"![The packages, each above those that it imports from]({picture}){{ .drawing }}", text
    )
