"""The release of a real run, made by the embedded generator, comes out of every loader picture by picture."""

import itertools
import json
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks import loaders
from benchmarks.loaders import LOADERS, SPLITS
from manifests.errors import EXIT_GATE
from manifests.store import read_manifest
from tests.pipeline.conftest import environment

ROOT = Path(__file__).parents[2]


def load(release, *words):
    """`python -m benchmarks.loaders`, as a user starts it: nothing of this process's settings, caches or
    warnings.
    """
    return subprocess.run(
        [sys.executable, "-m", "benchmarks.loaders", str(release), *words],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
        env=environment(),
    )


def test_every_loader_gives_the_manifests_images(small_run):
    for package in {package for package, _ in LOADERS.values()}:
        pytest.importorskip(package)
    release = small_run / "release" / "data"
    done = load(release, "--json")
    assert done.returncode == 0, done.stdout + done.stderr[-2000:]
    found = json.loads(done.stdout)
    rows = read_manifest(release).select(["split", "label"]).to_pylist()
    assert set(found) == set(LOADERS)
    for name, one in found.items():
        assert (one["images"], one["missing"], one["foreign"]) == (len(rows), 0, 0), name
        assert one["by_split"] == {split: sum(row["split"] == split for row in rows) for split in SPLITS}, (
            name
        )
        assert one["fakes"] == sum(row["label"] for row in rows), name


def test_a_loader_that_gives_something_else_is_named(small_run, monkeypatch):
    release = small_run / "release" / "data"
    rows = read_manifest(release).to_pylist()
    ways = {
        "all": lambda *_: loaders.by_manifest(release),
        "real for fake": lambda *_: (
            (split, 1 - label, digest) for split, label, digest in loaders.by_manifest(release)
        ),
        "one too few": lambda *_: itertools.islice(loaders.by_manifest(release), len(rows) - 1),
    }
    table = {**{name: ("PIL", way) for name, way in ways.items()}, "absent": ("no_such_module", None)}
    monkeypatch.setattr(loaders, "LOADERS", table)
    found = loaders.loaded(release)
    lines = {name: loaders.line_of(name, one) for name, one in found.items()}
    assert lines["all"].endswith("pixels: the same")
    assert lines["real for fake"].endswith(f"{len(rows)} missing, {len(rows)} foreign")
    assert lines["one too few"].endswith("1 missing, 0 foreign")
    assert lines["absent"].endswith("left out: no_such_module is not installed")
    monkeypatch.setattr(sys, "argv", ["loaders", str(release)])
    assert loaders.main() == EXIT_GATE
