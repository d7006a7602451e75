"""What comments, docstrings and documents cite is there: modules and their names, files of the project, and
anchors.
"""

import ast
import io
import re
import tokenize
import tomllib
from collections.abc import Iterator
from functools import cache
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest

from detector.training.settings import TrainSettings
from nn import packaged
from pipeline.engine.config import Config

ROOT = Path(__file__).parents[1]
PACKAGES = ("manifests", "generators", "attribute_models", "detector", "pipeline")
PLACES = (*PACKAGES, "tests", "benchmarks", "docs", "configs")
SOURCES = sorted(
    path for place in (*PACKAGES, "nn", "tests", "benchmarks") for path in (ROOT / place).rglob("*.py")
)
TEXTS = sorted(
    [
        *ROOT.glob("*.md"),
        *(ROOT / "docs").rglob("*.md"),
        *(ROOT / "configs").rglob("*.toml"),
        ROOT / "Makefile",
    ]
)
DOTTED = re.compile(rf"(?<![\w./-])(?:{'|'.join(PACKAGES)})(?:\.(?!onnx\b)[A-Za-z_]\w*)+(?![\w/-])")
FILED = re.compile(rf"(?<![\w./-])(?:{'|'.join(PLACES)})/[\w./-]*\w")
MADE = re.compile(r"^(detector/(checkpoint|training|metrics|state)\b|.*\.(safetensors|npy|png|jpg)$)")
"""Files that a run writes, not the project's."""
KEYED = re.compile(rf"`({'|'.join(Config.model_fields)})\.([a-z_]+)(\*?)")
"""A key of the configuration in backticks; `*` stands for several."""
LINK = re.compile(r"\]\((?!https?:)([^)\s#]*)(?:#([^)\s]*))?\)")


@cache
def module_file(dotted: str) -> Path | None:
    """The file of a module; None where there is none."""
    place = ROOT.joinpath(*dotted.split("."))
    return next((file for file in (place.with_suffix(".py"), place / "__init__.py") if file.is_file()), None)


def _bound(node: ast.AST) -> Iterator[str]:
    """The names that one statement binds."""
    if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
        yield node.name
    elif isinstance(node, ast.Import | ast.ImportFrom):
        yield from (alias.asname or alias.name.split(".")[0] for alias in node.names)
    elif isinstance(node, ast.Assign | ast.AnnAssign):
        targets = node.targets if isinstance(node, ast.Assign) else [node.target]
        yield from (leaf.id for target in targets for leaf in ast.walk(target) if isinstance(leaf, ast.Name))


@cache
def names_of(file: Path) -> dict[str, frozenset[str]]:
    """Name -> names of its class body, for all that a module binds at its top."""
    out: dict[str, frozenset[str]] = {}
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ClassDef):
            inside = {name for child in ast.walk(node) for name in _bound(child)}
            selfs = {n.attr for n in ast.walk(node) if isinstance(n, ast.Attribute)}
            out[node.name] = frozenset(inside | selfs)
        else:
            for name in _bound(node):
                out.setdefault(name, frozenset())
    return out


def resolves(dotted: str) -> bool:
    """Whether a dotted name is a module of the project, or a name in one."""
    parts = dotted.split(".")
    for at in range(len(parts), 0, -1):
        file = module_file(".".join(parts[:at]))
        if file is not None:
            rest = parts[at:]
            return not rest or rest[0] in names_of(file)
    return False


def prose_of(file: Path) -> str:
    """Comments and strings of a Python file (docstrings and messages), or the whole of another text but for
    what commands write.
    """
    text = file.read_text(encoding="utf-8")
    if file.suffix != ".py":
        return re.sub(r"--out \S+", "", text)
    kinds = {tokenize.COMMENT, tokenize.STRING, getattr(tokenize, "FSTRING_MIDDLE", -1)}
    return "\n".join(
        token.string for token in tokenize.generate_tokens(io.StringIO(text).readline) if token.type in kinds
    )


@pytest.mark.parametrize("place", ["texts", *PACKAGES, "tests", "benchmarks"])
def test_cited_modules_and_files_are_there(place: str):
    files = (
        TEXTS if place == "texts" else [file for file in SOURCES if file.relative_to(ROOT).parts[0] == place]
    )
    wrong = []
    for file in files:
        prose = prose_of(file)
        wrong += [f"{file.relative_to(ROOT)}: {name}" for name in DOTTED.findall(prose) if not resolves(name)]
        wrong += [
            f"{file.relative_to(ROOT)}: {name}"
            for name in FILED.findall(prose)
            if not MADE.match(name)
            and not (ROOT / name.rstrip(".")).exists()
            and not list(ROOT.glob(f"{name}*"))
        ]
    assert wrong == []


@pytest.mark.parametrize("file", [text for text in TEXTS if text.suffix == ".md"], ids=lambda file: file.name)
def test_links_of_documents_lead_somewhere(file: Path):
    wrong = []
    for target, anchor in LINK.findall(re.sub(r"`[^`\n]*`", "", file.read_text(encoding="utf-8"))):
        place = (file.parent / target).resolve() if target else file
        heads = (
            re.findall(r"(?m)^#+ (.*)$", place.read_text(encoding="utf-8"))
            if place.suffix == ".md" and place.is_file()
            else []
        )
        slugs = {re.sub(r"[^\w\- ]", "", head.lower()).replace(" ", "-") for head in heads}
        if not place.exists() or (anchor and anchor not in slugs):
            wrong.append(f"{target}#{anchor}")
    assert wrong == []


def test_every_kind_of_fault_names_files_of_tests_that_are_there():
    rows = [
        line.strip("| ").split(" | ")
        for line in (ROOT / "docs/faults.md").read_text(encoding="utf-8").split("\n")
        if line.startswith("| ") and not line.startswith("| kind")
    ]
    assert len(rows) > 50
    for kind, before, now, walked in rows:
        assert all((kind, before, now))
        named = re.findall(r"`([^`]+)`", walked)
        assert named, kind
        assert all(name.startswith("tests/") and (ROOT / name).is_file() for name in named), kind


def test_cited_keys_of_the_configuration_are_there():
    known = {
        name: set(getattr(field.annotation, "model_fields", ()))
        for name, field in Config.model_fields.items()
    }
    known["train"] |= set(TrainSettings.model_fields)
    wrong = [
        f"{file.relative_to(ROOT)}: {section}.{key}"
        for file in (*TEXTS, *SOURCES)
        if file.name != "CHANGELOG.md"
        for section, key, _ in KEYED.findall(prose_of(file))
        if key not in known[section]
        and not any(name.startswith(key) for name in known[section] if key.endswith("_"))
        and key not in ("json", "toml", "parquet", "md", "jsonl", "py", "index")
    ]
    assert wrong == []


@cache
def imported_modules() -> frozenset[str]:
    """First names of all modules that the packages import, or look for by `find_spec`."""
    found = set()
    for file in (source for source in SOURCES if source.relative_to(ROOT).parts[0] in (*PACKAGES, "nn")):
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Import):
                found |= {alias.name.split(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and node.module:
                found.add(node.module.split(".")[0])
            elif isinstance(node, ast.Call) and getattr(node.func, "attr", "") == "find_spec":
                found |= {arg.value for arg in node.args if isinstance(arg, ast.Constant)}
    return frozenset(found)


def plain_name(requirement: str) -> str:
    return re.split(r"[<>=!~\[; ]", requirement)[0].lower().replace("_", "-")


def test_every_required_package_is_imported():
    required = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["dependencies"]
    known = packages_distributions()
    used = {dist.lower().replace("_", "-") for module in imported_modules() for dist in known.get(module, ())}
    used |= {
        one.distribution for one in vars(packaged).values() if isinstance(one, packaged.Packaged)
    }  # files alone
    assert {plain_name(requirement) for requirement in required} - used == set()
