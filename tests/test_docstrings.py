"""Sections `Args:` have a line for each parameter, by its name; extension points say all of theirs."""

from __future__ import annotations

import ast
import doctest
import importlib
import inspect
import re
import textwrap
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGES = ("manifests", "nn", "generators", "attribute_models", "detector")
POINTS = {
    "manifests.adapters.base": ("Adapter",),
    "manifests.audit.base": ("Audit",),
    "manifests.exporters.base": ("Exporter",),
    "nn.tracking.base": ("Tracker",),
    "generators.strategies.base": ("Strategy",),
    "generators.forgeries.base": ("Forger",),
    "generators.checkpoints.formats": ("GeneratorFormat",),
    "attribute_models.attributes.classifier": ("FaceClassifier",),
    "detector.losses.base": ("Loss",),
    "detector.models.architectures.base": ("Architecture",),
    "pipeline.faces.feature_spaces": ("FeatureSpace",),
}
"""Module -> what somebody who adds a thing of a kind writes."""
ITEM = re.compile(r"(\*{0,2}\w+): \S")


def parameters(node: ast.AST) -> list[str]:
    """Names in a signature; of a class, those of its `__init__` and its fields."""
    if isinstance(node, ast.ClassDef):
        fields = [
            n.target.id for n in node.body if isinstance(n, ast.AnnAssign) and isinstance(n.target, ast.Name)
        ]
        return fields + [
            name for n in node.body if getattr(n, "name", "") == "__init__" for name in parameters(n)
        ]
    assert isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
    given = node.args
    more = [one for one in (given.vararg, given.kwarg) if one is not None]
    return [one.arg for one in (*given.posonlyargs, *given.args, *given.kwonlyargs, *more)]


def items(docstring: str) -> list[str]:
    """The items of a section `Args:`, each with its whole text in a line; empty where there is no section."""
    _, found, rest = inspect.cleandoc(docstring).partition("\nArgs:\n")
    section = rest.split("\n\n")[0] if found else ""
    out: list[str] = []
    for line in textwrap.dedent(section).splitlines():
        if line.startswith(" ") and out:
            out[-1] += f" {line.strip()}"
        else:
            out.append(line)
    return out


def faults(node: ast.AST, docstring: str) -> list[str]:
    """What is wrong with a section `Args:`."""
    names, found, seen = parameters(node), [], set()
    for item in items(docstring):
        start = ITEM.match(item)
        if start is None:
            found.append(f"no `name: text`: {item[:60]}")
            continue
        name = start.group(1).lstrip("*")
        if name not in names:
            found.append(f"{name} is no parameter")
        if name in seen:
            found.append(f"{name} stands twice")
        seen.add(name)
        found += [
            f"{other} stands on the line of {name}"
            for other in re.findall(r"[.;] (\w+): ", item)
            if other in names
        ]
    return found


def documented(path: Path) -> Iterator[tuple[str, ast.AST, str]]:
    """Functions and classes of a file that have a docstring."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            text = ast.get_docstring(node, clean=False)
            if text:
                yield node.name, node, text


@pytest.mark.parametrize("package", PACKAGES)
def test_each_parameter_has_a_line_of_its_own_under_its_name(package: str):
    wrong, sections = [], 0
    for path in sorted((ROOT / package).rglob("*.py")):
        for name, node, text in documented(path):
            sections += bool(items(text))
            wrong += [f"{path.relative_to(ROOT)} {name}: {fault}" for fault in faults(node, text)]
    assert wrong == []
    assert sections > 5


@pytest.mark.parametrize("module", POINTS)
def test_what_an_extension_writes_says_every_parameter(module: str):
    lacking = []
    for name in POINTS[module]:
        for method, function in vars(getattr(importlib.import_module(module), name)).items():
            if not inspect.isfunction(function) or (method.startswith("_") and method != "__call__"):
                continue
            wanted = [one for one in inspect.signature(function).parameters if one != "self"]
            said = [item.partition(":")[0] for item in items(function.__doc__ or "")]
            lacking += [f"{name}.{method}: {one}" for one in wanted if one not in said]
    assert lacking == []


def modules_with_examples() -> list[str]:
    """Modules whose docstrings have examples."""
    files = (path for package in (*PACKAGES, "pipeline") for path in (ROOT / package).rglob("*.py"))
    found = [path.relative_to(ROOT) for path in files if ">>> " in path.read_text(encoding="utf-8")]
    return sorted(".".join(path.with_suffix("").parts).removesuffix(".__init__") for path in found)


@pytest.mark.parametrize("module", modules_with_examples())
def test_examples_give_what_they_say(module: str):
    failed, tried = doctest.testmod(importlib.import_module(module))
    assert tried
    assert not failed


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("Do.\n\n    Args:\n        a: one. b: two.\n    ", "b stands on the line of a"),
        ("Do.\n\n    Args:\n        a, b: both.\n    ", "no `name: text`"),
        ("Do.\n\n    Args:\n        c: none.\n    ", "c is no parameter"),
        ("Do.\n\n    Args:\n        a: one.\n        a: again.\n    ", "a stands twice"),
    ],
)
def test_the_walk_sees_what_is_wrong(text: str, fault: str):
    node = ast.parse("def f(a, b): ...").body[0]
    assert [one[: len(fault)] for one in faults(node, text)] == [fault]
    assert (
        faults(
            node, "Do.\n\n    Args:\n        a: one.\n            Its b.\n        b: two.\n\n    Raises:\n"
        )
        == []
    )
