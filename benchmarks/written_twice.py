"""Logic that stands twice: runs of lines that two places share, whatever their names. `python -m
benchmarks.written_twice`.

Compared are the lines of function bodies, without docstrings, comments, imports and signatures, each as the
shape of its syntax: names of variables, arguments, attributes and the text of strings do not count, what is
called does. A line that is nothing but text is left out. One pass over all windows of `--lines` lines, so the
time grows with the lines and not with the pairs of files. Exit code 1 where something stands twice.
"""

from __future__ import annotations

import argparse
import ast
import io
import keyword
import sys
import tokenize
from collections import defaultdict
from collections.abc import Iterator
from itertools import zip_longest
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parents[1]
PACKAGES = ("pipeline", "generators", "attribute_models", "detector", "nn", "manifests", "benchmarks")
LINES = 10
Function = ast.FunctionDef | ast.AsyncFunctionDef
SILENT = (
    tokenize.COMMENT,
    tokenize.NL,
    tokenize.NEWLINE,
    tokenize.INDENT,
    tokenize.DEDENT,
    tokenize.ENCODING,
    tokenize.ENDMARKER,
)


class Line(NamedTuple):
    """A line of a function's body: its file, its number, and its shape."""

    file: Path
    number: int
    shape: str


class Twice(NamedTuple):
    """Two runs of `length` lines with the same shapes."""

    first: Line
    second: Line
    length: int


def _bodies(tree: ast.Module) -> list[tuple[int, int]]:
    """First and last line of every outermost function's statements, its docstring left out."""
    found = []

    def walk(node: ast.AST) -> None:
        for inner in ast.iter_child_nodes(node):
            if isinstance(inner, Function):
                start = 1 if ast.get_docstring(inner, clean=False) is not None else 0
                if inner.body[start:]:
                    found.append((inner.body[start].lineno, inner.body[-1].end_lineno or 0))
            else:
                walk(inner)

    walk(tree)
    return found


def _left_out(tree: ast.Module) -> set[int]:
    """Numbers of lines with imports, and with docstrings and signatures of inner functions."""
    out: set[int] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import | ast.ImportFrom):
            out |= set(range(node.lineno, (node.end_lineno or 0) + 1))
        elif isinstance(node, Function):
            out |= set(range(node.lineno, node.body[0].lineno))
            if ast.get_docstring(node, clean=False) is not None:
                out |= set(range(node.body[0].lineno, (node.body[0].end_lineno or 0) + 1))
    return out


def _shapes(text: str, names: bool) -> dict[int, str]:
    """Number -> shape of every line with code. names: they count too, and so do strings."""
    tokens = [t for t in tokenize.generate_tokens(io.StringIO(text).readline) if t.type not in SILENT]
    lines: dict[int, list[str]] = defaultdict(list)
    for token, after in zip_longest(tokens, tokens[1:]):
        word, called = token.string, after is not None and after.string == "("
        if not names and token.type == tokenize.NAME and not called and not keyword.iskeyword(word):
            word = "name"
        elif not names and token.type == tokenize.STRING:
            word = "text"
        lines[token.start[0]].append(word)
    return {number: " ".join(words) for number, words in lines.items()}


def lines_of(file: Path, names: bool) -> Iterator[list[Line]]:
    """Of each function of a file its lines that count."""
    text = file.read_text(encoding="utf-8")
    tree = ast.parse(text)
    shapes, skip = _shapes(text, names), _left_out(tree)
    for first, last in _bodies(tree):
        kept = [Line(file, n, shapes[n]) for n in range(first, last + 1) if n in shapes and n not in skip]
        yield [line for line in kept if any(w.isidentifier() and w != "text" for w in line.shape.split())]


def twice(files: list[Path], lines: int = LINES, names: bool = False) -> list[Twice]:
    """Runs of at least so many lines that stand in two places, the longest of each; see the module."""
    windows: dict[tuple[str, ...], tuple[list[Line], int]] = {}
    found: list[Twice] = []
    covered: set[tuple[Path, int]] = set()
    for function in (function for file in files for function in lines_of(file, names)):
        for at in range(len(function) - lines + 1):
            key = tuple(line.shape for line in function[at : at + lines])
            seen, place = windows.setdefault(key, (function, at))
            here = function[at]
            if (seen is function and at - place < lines) or (here.file, here.number) in covered:
                continue
            length = lines
            while (
                at + length < len(function)
                and place + length < len(seen)
                and function[at + length].shape == seen[place + length].shape
            ):
                length += 1
            found.append(Twice(seen[place], here, length))
            covered |= {(line.file, line.number) for line in function[at : at + length]}
    return found


def project_files() -> list[Path]:
    """Every Python file of the packages and the benchmarks."""
    return sorted(file for package in PACKAGES for file in (ROOT / package).rglob("*.py"))


def main() -> int:
    """Print what stands twice; 1 where something does."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--lines", type=int, default=LINES, help="Fewest lines of a run.")
    parser.add_argument(
        "--names", action="store_true", help="Names and strings count too: only true copies are found."
    )
    given = parser.parse_args()
    files = project_files()
    found = twice(files, given.lines, given.names)
    for first, second, length in found:
        print(
            f"{first.file.relative_to(ROOT)}:{first.number} ~"
            f" {second.file.relative_to(ROOT)}:{second.number}: {length} lines"
        )
    print(
        f"{len(found)} runs of {given.lines} lines or more stand twice in {len(files)} files", file=sys.stderr
    )
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
