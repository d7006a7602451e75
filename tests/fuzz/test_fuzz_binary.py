"""Five thousand damaged files of every binary kind, in one process with limits of time and memory, beside a
watched folder.
"""

import ast
import json
import os
import random
import subprocess
import sys
from pathlib import Path

import pytest

from tests.fuzz import bulk
from tests.fuzz.binary_inputs import targets
from tests.fuzz.harness import Target

ROOT = Path(__file__).parents[2]
COUNTS = {
    "pickle": 800,
    "torch": 1000,
    "zip": 700,
    "safetensors": 700,
    "onnx": 600,
    "parquet": 500,
    "tar": 300,
    "results": 500,
}
SECONDS, MEMORY_MIB = 20, 2048
"""What one file may take; the limits inside are narrower."""


def test_five_thousand_damaged_files(tmp_path):
    assert sum(COUNTS.values()) >= 5000
    assert COUNTS.keys() == targets().keys()
    wanted = [f"{kind}={count}" for kind, count in COUNTS.items()]
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [sys.executable, "-m", "tests.fuzz.bulk", str(tmp_path), *wanted],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=1500,
    )
    now = (tmp_path / "now.json").read_text() if (tmp_path / "now.json").is_file() else "the valid inputs"
    assert done.returncode == 0, f"ended by {done.returncode} at {now}: {done.stderr[-2000:]}"
    outcome = json.loads((tmp_path / "outcome.json").read_text())
    for kind, found in outcome["kinds"].items():
        assert found["wrong"] == [], (kind, found["wrong"])
        assert sum(found["codes"].values()) == COUNTS[kind]
        assert found["codes"].get("3", 0) > COUNTS[kind] // 10, f"{kind} is hardly damaged: {found['codes']}"
        assert found["slowest"] < SECONDS, kind
    assert outcome["grown_mib"] < MEMORY_MIB


@pytest.mark.parametrize(
    ("read", "words"),
    [
        (lambda place: (place.parent / "sentinel.txt").unlink(), "outside the folder"),
        (lambda place: os.rename(place / "a", place.parent / "b"), "outside the folder"),
        (lambda place: {}["a bug"], "KeyError"),
        (lambda place: None, None),
    ],
    ids=["removes", "moves", "bug", "fine"],
)
def test_what_is_watched_is_seen(tmp_path, read, words):
    place = tmp_path / "place"
    place.mkdir()
    (place / "a").write_text("x")
    (tmp_path / "sentinel.txt").write_text("stays")
    found = bulk.once(Target("t", dict, read, ()), place, tmp_path)
    assert found == 0 if words is None else words in found


def test_markers_are_read_as_they_come(tmp_path):
    from pipeline.engine import markers
    from pipeline.engine.shards import content_of, drop_leftovers
    from tests.fuzz.binary_inputs import damaged, marker
    from tests.fuzz.harness import lay

    def read(place):
        for _, path in markers.shard_markers(place / "run"):
            markers.read_marker(path)
        content_of(place / "run")
        drop_leftovers(place / "run", 5)

    for number in range(300):
        place = tmp_path / f"{number}" / "place"
        lay(damaged(marker(), random.Random(number)), place)
        assert bulk.once(Target("markers", marker, read, ()), place, place.parent) in (0, 2, 3, 5)
        assert (place / "beside.txt").is_file() or not (place / "beside.txt").exists()


READERS = {
    "load": {"torch": {""}, "pickle": {""}, "onnx": {"generators.forgeries.onnx_parts"}},
    "Unpickler": {"pickle": {"generators.checkpoints.official_pickle", "nn.tensor_files"}},
    "ZipFile": {"zipfile": {"manifests.archives"}},
    "safe_open": {"safetensors": {"nn.safetensors_files"}, "": {"nn.safetensors_files"}},
    "load_file": {"safetensors": {""}, "": {""}},
    "load_model": {"onnx": {"nn.onnx_files"}},
    "InferenceSession": {"onnxruntime": {"nn.onnx_files", "detector.inference.onnx_export"}},
    "writer": {"csv": {"manifests.escaping"}},
    "escape": {"html": {"pipeline.report.markup"}, "": {"pipeline.report.markup"}},
}
"""Call -> the package it is of -> the modules that may make it; the others go through these."""


def calls(path):
    """(name, what it is an attribute of) of every call and base class in a module."""
    for node in ast.walk(ast.parse(path.read_text())):
        found = (
            [node.func]
            if isinstance(node, ast.Call)
            else node.bases
            if isinstance(node, ast.ClassDef)
            else []
        )
        for one in found:
            if isinstance(one, ast.Attribute):
                yield one.attr, ast.unparse(one.value)
            elif isinstance(one, ast.Name):
                yield one.id, ""


def test_each_format_has_one_reader_and_each_medium_one_writer():
    """`torch.load`, an unpickler, a zip, safetensors, an ONNX session, CSV and HTML: nowhere but in the
    module that bounds them.
    """
    wrong = []
    for folder in ("manifests", "nn", "generators", "attribute_models", "detector", "pipeline"):
        for path in sorted((ROOT / folder).rglob("*.py")):
            module = ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")
            if not any(f"{name}(" in path.read_text() or f".{name}" in path.read_text() for name in READERS):
                continue
            for name, owner in calls(path):
                allowed = READERS.get(name, {}).get(owner)
                if allowed is not None and module not in allowed:
                    wrong.append(f"{module}: {owner}.{name}")
    assert wrong == []
