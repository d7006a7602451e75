"""Mutants of the code that judges, and which of them the tests of that code let live: `python -m
benchmarks.mutation`.

A mutant is a module with one operator, constant or condition changed. Each runs the tests of its module in a
fork of one process that has numpy, scipy, scikit-learn and torch loaded, so that a mutant costs seconds;
nothing is written into the source. A sample is drawn by `--seed`. docs/measurements/mutation.md has the
figures, and a word on each survivor.
"""

from __future__ import annotations

import argparse
import ast
import contextlib
import copy
import importlib
import importlib.abc
import importlib.util
import json
import os
import random
import resource
import signal
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from manifests.atomic import write_json

ROOT = Path(__file__).parents[1]
LOADED = (
    "numpy",
    "scipy.stats",
    "sklearn.linear_model",
    "sklearn.metrics",
    "pyarrow.parquet",
    "pydantic",
    "cv2",
    "torch",
)
TARGETS = {
    "manifests/splits.py": ("tests/manifests/test_splits.py", "tests/manifests/test_split_shares.py"),
    "detector/metrics/rates.py": (
        "tests/detector/test_metrics.py",
        "tests/detector/test_metric_oracles.py",
        "tests/detector/test_rates_at_limits.py",
    ),
    "manifests/audit": ("tests/manifests/test_audit.py", "tests/manifests/test_audit_features.py"),
    "pipeline/engine/markers.py": ("tests/pipeline/test_markers.py",),
    "pipeline/engine/shards.py": ("tests/pipeline/test_shards.py",),
    "pipeline/engine/config_file.py": ("tests/pipeline/test_config.py",),
}
"""What is mutated, a file or a folder, and the tests that should notice."""
COMPARED: dict[type[ast.cmpop], type[ast.cmpop]] = {
    ast.Lt: ast.LtE,
    ast.LtE: ast.Lt,
    ast.Gt: ast.GtE,
    ast.GtE: ast.Gt,
    ast.Eq: ast.NotEq,
    ast.NotEq: ast.Eq,
    ast.In: ast.NotIn,
    ast.NotIn: ast.In,
    ast.Is: ast.IsNot,
    ast.IsNot: ast.Is,
}
COMPUTED: dict[type[ast.operator], type[ast.operator]] = {
    ast.Add: ast.Sub,
    ast.Sub: ast.Add,
    ast.Mult: ast.Div,
    ast.Div: ast.Mult,
    ast.FloorDiv: ast.Mult,
    ast.Mod: ast.FloorDiv,
    ast.BitAnd: ast.BitOr,
    ast.BitOr: ast.BitAnd,
}


@dataclass(frozen=True)
class Mutant:
    """One change: its file below the root, the place of its node in `ast.walk`, the line, and what was made
    of what.
    """

    file: str
    node: int
    line: int
    change: str


def _changed(node: ast.AST) -> str | None:
    """Change the node in place; what was done, None where there is nothing to change."""
    if isinstance(node, ast.Compare) and type(node.ops[0]) in COMPARED:
        before = node.ops[0]
        node.ops[0] = COMPARED[type(before)]()
        return f"{type(before).__name__} -> {type(node.ops[0]).__name__}"
    if isinstance(node, ast.BinOp) and type(node.op) in COMPUTED:
        done = f"{type(node.op).__name__} -> {COMPUTED[type(node.op)].__name__}"
        node.op = COMPUTED[type(node.op)]()
        return done
    if isinstance(node, ast.BoolOp):
        done = type(node.op).__name__
        node.op = ast.Or() if isinstance(node.op, ast.And) else ast.And()
        return f"{done} -> {type(node.op).__name__}"
    if isinstance(node, ast.If | ast.IfExp | ast.While):
        node.test = ast.copy_location(ast.UnaryOp(ast.Not(), node.test), node.test)
        return "condition -> its opposite"
    if isinstance(node, ast.Constant) and isinstance(node.value, bool):
        node.value = not node.value
        return f"{not node.value} -> {node.value}"
    if isinstance(node, ast.Constant) and isinstance(node.value, int | float):
        node.value = node.value + 1
        return f"{node.value - 1} -> {node.value}"
    return None


def _never_run(tree: ast.Module) -> set[ast.AST]:
    """Nodes of annotations, which `from __future__ import annotations` leaves as text."""
    hints = [getattr(node, name, None) for node in ast.walk(tree) for name in ("annotation", "returns")]
    return {inner for hint in hints if isinstance(hint, ast.AST) for inner in ast.walk(hint)}


def mutants_of(file: Path) -> Iterator[Mutant]:
    """Every mutant of a file; what stands in annotations is left alone."""
    tree = ast.parse(file.read_text(encoding="utf-8"))
    left_out = _never_run(tree)
    for number, node in enumerate(ast.walk(tree)):
        if node not in left_out and (done := _changed(copy.deepcopy(node))):
            yield Mutant(str(file.relative_to(ROOT)), number, getattr(node, "lineno", 0), done)


def mutated_code(mutant: Mutant) -> object:
    """The compiled module with its one change."""
    file = ROOT / mutant.file
    tree = ast.parse(file.read_text(encoding="utf-8"))
    node = next(node for number, node in enumerate(ast.walk(tree)) if number == mutant.node)
    assert _changed(node)
    return compile(ast.fix_missing_locations(tree), str(file), "exec")


class _Mutator(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    """Loads one module from mutated code."""

    def __init__(self, mutant: Mutant) -> None:
        self.file = ROOT / mutant.file
        self.name = ".".join(Path(mutant.file).with_suffix("").parts).removesuffix(".__init__")
        self.code = mutated_code(mutant)

    def find_spec(
        self, name: str, path: object, target: object = None
    ) -> importlib.machinery.ModuleSpec | None:
        if name != self.name:
            return None
        return importlib.util.spec_from_file_location(name, self.file, loader=self)  # type: ignore[arg-type]

    def exec_module(self, module: object) -> None:
        exec(self.code, vars(module))  # type: ignore[arg-type]


def _tests(mutant: Mutant | None, tests: tuple[str, ...], seconds: int, folder: Path) -> int:
    """In a child: the exit code of the tests with the mutant in place."""
    resource.setrlimit(resource.RLIMIT_CPU, (seconds, seconds + 5))
    null = os.open(os.devnull, os.O_RDWR)
    for number in (0, 1, 2):
        os.dup2(null, number)
    import pytest

    if mutant is not None:
        sys.meta_path.insert(0, _Mutator(mutant))
    words = ["-x", "-q", "-p", "no:cacheprovider", "--basetemp", str(folder), *tests]
    return int(pytest.main(words))


def run(mutant: Mutant | None, tests: tuple[str, ...], seconds: int, folder: Path) -> tuple[str, float]:
    """`killed`, `survived` or `time`, and the seconds of the processor that it took."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    child = os.fork()
    if not child:
        code = 1
        with contextlib.suppress(BaseException):
            code = _tests(mutant, tests, seconds, folder)
        os._exit(min(code, 100))
    _, status = os.waitpid(child, 0)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    took = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    if os.WIFSIGNALED(status):
        return ("time" if os.WTERMSIG(status) in (signal.SIGXCPU, signal.SIGKILL) else "killed"), took
    return ("killed" if os.WEXITSTATUS(status) else "survived"), took


def main() -> int:
    """Print and, with `--out`, write what lived."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--each", type=int, default=30, help="Mutants of each target.")
    parser.add_argument("--seed", type=int, default=2026)
    parser.add_argument("--only", help="A target.")
    parser.add_argument(
        "--minutes",
        type=float,
        default=20.0,
        help="Of the processor, over all; what is left then is not run.",
    )
    parser.add_argument(
        "--folder", type=Path, default=Path("/tmp/mutation"), help="The tests' temporary files."
    )
    parser.add_argument("--out", type=Path, help="JSON of every mutant that was run.")
    given = parser.parse_args()
    for name in LOADED:
        importlib.import_module(name)
    spent, rows = 0.0, []
    for target, tests in TARGETS.items():
        if given.only not in (None, target):
            continue
        place = ROOT / target
        every = [
            mutant
            for file in ([place] if place.is_file() else sorted(place.glob("*.py")))
            for mutant in mutants_of(file)
        ]
        chosen = random.Random(given.seed).sample(every, min(given.each, len(every)))
        verdict, took = run(None, tests, 600, given.folder)
        if verdict != "survived":
            print(f"{target}: its tests fail without any change", file=sys.stderr)
            return 1
        begun, counts = time.monotonic(), {"killed": 0, "time": 0, "survived": 0}
        for mutant in sorted(chosen, key=lambda one: (one.file, one.line)):
            if spent > 60 * given.minutes:
                break
            verdict, seconds = run(mutant, tests, int(10 * took) + 20, given.folder)
            spent += seconds
            counts[verdict] += 1
            rows.append({"target": target, **vars(mutant), "verdict": verdict})
            if verdict == "survived":
                print(f"  {mutant.file}:{mutant.line} {mutant.change}", flush=True)
        print(
            f"{target}: {len(every)} mutants, {sum(counts.values())} run: {json.dumps(counts)} "
            f"({took:.1f} s of the processor a run, {time.monotonic() - begun:.0f} s in all)",
            flush=True,
        )
    if given.out:
        write_json(given.out, rows)
    return 0


if __name__ == "__main__":
    sys.exit(main())
