"""A limit that a message or a page states is the code's: messages build it from a constant, pages are
compared with it.
"""

import ast
import importlib
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
NUMBER = re.compile(r"(?<![A-Za-z0-9_.])-?[0-9][0-9,]*(?:\.[0-9]+)?")
BEFORE = re.compile(
    r"(?:at least|at most|up to|more than|fewer than|less than|above|below|from|between|needs|to) $"
)
AFTER = re.compile(
    r" (?:to|or (?:more|less|fewer|smaller|larger)|at"
    r" most|MiB|GiB|MB|megapixels|px|pixels|bytes|characters)\b"
)
TRIVIAL = {"0", "1", "2", "0.5"}
"""Bounds of shares, labels and counts; the smallest map and the default threshold."""
BASES = ("Error", "Warning", "warn", "BadValue", "Finding", "Typer", "Option", "Argument")


def stated(node: ast.Call) -> list[tuple[int, str]]:
    """Numbers that the literal parts of a call's texts state as limits; examples (`for example`, `e.g.`) are
    none.
    """
    out = []
    for part in ast.walk(node):
        if isinstance(part, ast.Constant) and isinstance(part.value, str):
            text = re.split(r"e\.g\.|for example|such as", part.value)[0]
            found = [
                m
                for m in NUMBER.finditer(text)
                if BEFORE.search(text[: m.start()]) or AFTER.match(text[m.end() :])
            ]
            out += [(part.lineno, m[0]) for m in found if m[0].rstrip(",") not in TRIVIAL]
    return out


def test_no_message_states_a_limit_as_a_literal():
    found, calls = [], 0
    for folder in ("manifests", "generators", "attribute_models", "detector", "pipeline"):
        for path in (ROOT / folder).rglob("*.py"):
            for node in ast.walk(ast.parse(path.read_text())):
                name = (
                    getattr(node.func, "attr", getattr(node.func, "id", ""))
                    if isinstance(node, ast.Call)
                    else ""
                )
                if name.endswith(BASES) and not path.is_relative_to(ROOT / "pipeline" / "cli"):
                    calls += 1
                    found += [f"{path.relative_to(ROOT)}:{line}: {number}" for line, number in stated(node)]
    assert calls > 300
    assert found == []


def test_a_literal_limit_would_be_found():
    call = (
        ast.parse('UsageError("x", "is too large", "give 1 to 2048 pixels, at most 300 of them")')
        .body[0]
        .value
    )
    assert [number for _, number in stated(call)] == ["2048", "300"]


PAGES = [
    ("docs/evaluation.md", r"last whole part \(([0-9 ,]+) images", "manifests.adapters.import_parts", "ROWS"),
    (
        "docs/evaluation.md",
        r"goes on after the last ([0-9 ,]+) images",
        "pipeline.stages.evaluate.image_scores",
        "PART",
    ),
    (
        "docs/evaluation.md",
        r"default threshold of ([0-9.]+)",
        "pipeline.stages.evaluate.score_reports",
        "THRESHOLD",
    ),
    (
        "docs/checkpoints.md",
        r"is taken over ([0-9,]+) mapped latents",
        "generators.checkpoints.rosinality",
        "MEAN_SAMPLES",
    ),
    ("docs/generator-metrics.md", r"at least ([0-9]+)", "pipeline.commands.generators.metrics", "LEAST"),
    (
        "docs/forgeries.md",
        r"nearest by landmarks of up to ([0-9]+)",
        "pipeline.stages.forge.partners",
        "SEARCHED",
    ),
]


@pytest.mark.parametrize(("page", "words", "module", "name"), PAGES)
def test_a_page_states_the_limit_of_the_code(page, words, module, name):
    text = " ".join((ROOT / page).read_text().split())
    found = re.search(words, text)
    assert found, f"{page} no longer says: {words}"
    assert float(re.sub("[ ,]", "", found[1])) == float(getattr(importlib.import_module(module), name))


def test_the_sizes_of_generators_that_the_page_names_are_those_of_the_config():
    from generators.stylegan2.config import GeneratorConfig

    low, high = re.search(
        r"any power of two from ([0-9]+) to ([0-9]+) px", (ROOT / "docs/checkpoints.md").read_text()
    ).groups()
    limits = {type(part).__name__: part for part in GeneratorConfig.model_fields["img_resolution"].metadata}
    assert (limits["Ge"].ge, limits["Le"].le) == (int(low), int(high))


@pytest.mark.parametrize(("option", "command"), [("--threshold", "fairness"), ("--threshold-a", "compare")])
def test_help_names_the_default_threshold(option, command, capsys):
    from pipeline.__main__ import main
    from pipeline.stages.evaluate.score_reports import THRESHOLD

    main([command, "--help"])
    text = " ".join(capsys.readouterr().out.split())
    assert f"default {THRESHOLD}" in text[text.index(option) :]
