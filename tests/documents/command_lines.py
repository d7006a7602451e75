"""The command lines in documents, read as a shell reads them."""

import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
DOCUMENTS = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").rglob("*.md"))]
INDENTED = re.compile(r"(?m)^(?: {4,}|\t)\s*(?:[A-Z_]+=\S+ )*(fairforge .*)$")
FENCED = re.compile(r"(?ms)^```(?:console|shell|bash|sh)\n(.*?)^```")
INLINE = re.compile(r"`(fairforge [^`\n]+)`")


@dataclass(frozen=True)
class Line:
    """A command line as it stands in a document; whole: it can be run as it is, nothing is left out."""

    document: str
    text: str
    whole: bool

    def words(self) -> list[str]:
        """The words after `fairforge`, without the comment; what a pipe or `&&` brings is not read."""
        words = shlex.split(self.text, comments=True)[1:]
        return words[
            : next((at for at, word in enumerate(words) if word in ("|", "&&", ">", ";")), len(words))
        ]


def lines_of(path: Path) -> Iterator[Line]:
    """Every line of a document that begins with `fairforge`: of code blocks, and between backticks."""
    text = re.sub(r"\\\n\s*", "", path.read_text(encoding="utf-8"))
    name = path.relative_to(ROOT).as_posix()
    for block in FENCED.findall(text):
        found = (line.removeprefix("$ ") for line in block.split("\n"))
        yield from (Line(name, line, True) for line in found if line.startswith("fairforge "))
    outside = FENCED.sub("", text)
    yield from (Line(name, found, True) for found in INDENTED.findall(outside))
    yield from (Line(name, found, False) for found in INLINE.findall(outside))


def all_lines() -> list[Line]:
    """Of all documents."""
    return [line for path in DOCUMENTS for line in lines_of(path)]
