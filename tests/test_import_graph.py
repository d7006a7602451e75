"""No circle between files, and the six folders of `pipeline`, whose layers import-linter holds (`make
lint`).
"""

from __future__ import annotations

import ast
from pathlib import Path

ROOT = Path(__file__).parents[1]
PACKAGES = ("pipeline", "generators", "attribute_models", "detector", "nn", "manifests")
FOLDERS = {"cli", "commands", "engine", "faces", "report", "stages"}


def modules_of(root: Path) -> dict[str, Path]:
    """Every module of the packages below `root` by its name."""
    files = sorted(file for package in PACKAGES for file in (root / package).rglob("*.py"))
    return {".".join(f.relative_to(root).with_suffix("").parts).removesuffix(".__init__"): f for f in files}


def never_run(tree: ast.Module) -> set[ast.AST]:
    """What stands under `if TYPE_CHECKING`."""
    tests = [
        node
        for node in ast.walk(tree)
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test)
    ]
    return {inner for test in tests for part in test.body for inner in ast.walk(part)}


def imports_of(module: str, text: str, known: set[str]) -> set[str]:
    """The modules among `known` that a file imports, inside functions too."""
    tree = ast.parse(text)
    left_out, found = never_run(tree), set()
    for node in ast.walk(tree):
        if node in left_out:
            continue
        if isinstance(node, ast.ImportFrom):
            assert not node.level, f"{module} imports by dots"
            inner = [f"{node.module}.{name.name}" for name in node.names]
            found |= {name if name in known else str(node.module) for name in inner}
        elif isinstance(node, ast.Import):
            found |= {name.name for name in node.names}
    return (found & known) - {module}


def graph_of(root: Path) -> dict[str, set[str]]:
    """Module -> what it imports."""
    files = modules_of(root)
    return {
        module: imports_of(module, file.read_text(encoding="utf-8"), set(files))
        for module, file in files.items()
    }


def circle_in(graph: dict[str, set[str]]) -> list[str]:
    """Modules that import each other in a circle, the first one again at the end; empty where there is
    none.
    """
    done: set[str] = set()
    for start in sorted(graph):
        way, left = [start], [iter(sorted(graph[start] - done))]
        while way:
            step = next(left[-1], None)
            if step is None:
                done.add(way.pop())
                left.pop()
            elif step in way:
                return [*way[way.index(step) :], step]
            elif step not in done:
                way.append(step)
                left.append(iter(sorted(graph[step] - done)))
    return []


def test_no_circle_between_files():
    graph = graph_of(ROOT)
    assert len(graph) > 400
    assert sum(map(len, graph.values())) > 1500, "the graph has its edges"
    assert circle_in(graph) == []


def test_circles_are_found(tmp_path: Path):
    (tmp_path / "nn").mkdir()
    texts = {
        "one": "from __future__ import annotations\nfrom nn import two\n",
        "two": "def later():\n    import nn.three\n",
        "three": "from nn.one import name\n",
    }
    for name, text in texts.items():
        (tmp_path / "nn" / f"{name}.py").write_text(text)
    assert circle_in(graph_of(tmp_path)) == ["nn.one", "nn.two", "nn.three", "nn.one"]
    (tmp_path / "nn" / "three.py").write_text(
        "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from nn.one import name\n"
    )
    assert circle_in(graph_of(tmp_path)) == []


def test_pipeline_has_six_folders():
    entries = {
        entry.name for entry in (ROOT / "pipeline").iterdir() if entry.name not in ("__pycache__", "py.typed")
    }
    assert entries == FOLDERS | {"__init__.py", "__main__.py"}
