"""No command writes a byte under `--dry-run`: every command that has it, watched by files, folders and the
system's calls.
"""

import json
import os
import sys
from pathlib import Path

import numpy as np
import pytest

from manifests.atomic import write_bytes
from manifests.images import encode
from pipeline.__main__ import main
from tests.manifests.manifest_rows import drawn_set
from tests.pipeline.test_options import COMMANDS, options

WITH_DRY_RUN = [name for name, command in COMMANDS.items() if "--dry-run" in options(command)]
RUN = (
    "--out {tmp}/new",
    "--out {tmp}/begun",
    "--out {tmp}/begun --fresh --shard 1/2 --seed 9 --limit 3 --allow-short",
)
MODES = {
    "train": (
        "--manifest {tmp}/set --out {tmp}/d --track tensorboard:{tmp}/tb",
        "--manifest {tmp}/set --out {tmp}/detector",
        "--manifest {tmp}/set --out {tmp}/detector --fresh",
        "--manifest {tmp}/set/manifest.parquet --out {tmp}/d --device cpu --workers 1",
    ),
    "evaluate": (
        "--checkpoint {tmp}/detector --manifest {tmp}/set --out {tmp}/e --threshold val-eer",
        "--checkpoint {tmp}/detector --manifest {tmp}/set --out {tmp}/scored --fresh",
    ),
    "forge": (
        "--target {tmp}/a.png --source {tmp}/b.png --method swap-delaunay --out {tmp}/c.png",
        "--target {tmp}/a.png --method blend-self --out {tmp}/b.png",
    ),
}
"""Beside a run's: the ways to call a command that do their work elsewhere."""
NO_RUN = ("retry",)
"""It is of a run that is there, and has no plan: see `test_retry_writes_nothing_and_names_what_failed`."""
CALLS = [
    (name, words) for name in WITH_DRY_RUN if name not in NO_RUN for words in (*RUN, *MODES.get(name, ()))
]
WRITES = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND
CHANGES = (
    "os.mkdir",
    "os.remove",
    "os.rename",
    "os.rmdir",
    "os.link",
    "os.symlink",
    "os.truncate",
    "os.utime",
    "os.chmod",
)
seen: list[str] | None = None


def watch(event: str, arguments: tuple) -> None:
    """An audit hook: keeps what opens a file to write or changes a folder, while `seen` is a list."""
    if seen is None:
        return
    writes = event == "open" and isinstance(arguments[2], int) and arguments[2] & WRITES
    if (event in CHANGES or writes) and not str(arguments[0]).startswith(("/dev/", "/proc/")):
        seen.append(f"{event} {arguments[0]}")


sys.addaudithook(watch)  # there is no way to take one off again: it sleeps while `seen` is None


@pytest.fixture(scope="module")
def inputs(tmp_path_factory) -> Path:
    """A manifest, a detector, a killed evaluation, two pictures, and a run that has begun."""
    from detector.inference.checkpoints import save_checkpoint
    from detector.models.network import build_network
    from detector.models.network_config import NetworkConfig
    from pipeline.engine.config import Config
    from pipeline.engine.config_file import dump_config

    root = tmp_path_factory.mktemp("inputs")
    drawn_set(root / "set", per_cell=4, size=24)
    (root / "detector").mkdir()
    config = NetworkConfig(backbone="test_resnet", input_size=32)
    save_checkpoint(
        root / "detector" / "checkpoint.safetensors", config, build_network(config, 0).state_dict(), {}
    )
    facts = {"key": "of another", "sha256": {"checkpoint": "", "manifest": ""}}
    (root / "detector" / "training.json").write_text(json.dumps(facts))
    (root / "scored" / "scoring").mkdir(parents=True)
    (root / "scored" / "scoring" / "part.parquet").write_bytes(b"kept")
    rng = np.random.Generator(np.random.PCG64(0))
    for name in ("a.png", "b.png"):
        write_bytes(root / name, encode(rng.integers(0, 256, (48, 48, 3), np.uint8), "png"))
    (root / "begun" / "cells" / "done").mkdir(parents=True)
    (root / "begun" / "cells" / "done" / "stage.json").write_text(
        json.dumps({"key": "", "digest": "0" * 64, "outputs": {}, "parts": {}, "summary": {}, "main": ""})
    )
    (root / "begun" / "cells" / "model.safetensors").write_bytes(b"kept")
    (root / "begun" / "config.toml").write_text(dump_config(Config()))
    (root / "home").mkdir()
    return root


def contents(root: Path) -> dict[str, tuple[int, int, int]]:
    """Every file and folder with its size, time of change and inode."""
    return {
        str(path): (path.stat().st_size, path.stat().st_mtime_ns, path.stat().st_ino)
        for path in [root, *root.rglob("*")]
    }


@pytest.fixture
def watched(inputs: Path, monkeypatch):
    monkeypatch.chdir(inputs)
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    for name in ("HOME", "XDG_CACHE_HOME", "XDG_DATA_HOME", "FAIRFORGE_CACHE", "TMPDIR"):
        monkeypatch.setenv(name, str(inputs / "home"))
    monkeypatch.setenv("FAIRFORGE_DATA", "")
    yield inputs
    globals()["seen"] = None


def calls_that_write(monkeypatch, work) -> list[str]:
    global seen
    seen = []
    work()
    found, seen = seen, None
    return found


@pytest.mark.parametrize(("name", "words"), CALLS, ids=lambda text: text.replace("{tmp}/", ""))
def test_nothing_is_written(name: str, words: str, watched: Path, monkeypatch, capsys):
    before = contents(watched)
    line = [name, *words.format(tmp=watched).split(), "--dry-run"]
    codes: list[int] = []
    found = calls_that_write(monkeypatch, lambda: codes.append(main(line)))
    streams = capsys.readouterr()
    assert codes == [0], streams.err
    assert not found
    assert contents(watched) == before
    assert streams.out.strip(), "it says what would be done"
    assert any(state in streams.out for state in ("missing", "waiting", "stale", "partial", "done"))


def test_retry_writes_nothing_and_names_what_failed(watched: Path, monkeypatch, capsys):
    before = contents(watched)
    codes: list[int] = []
    line = ["retry", "--out", str(watched / "begun"), "--dry-run"]
    found = calls_that_write(monkeypatch, lambda: codes.append(main(line)))
    streams = capsys.readouterr()
    assert codes == [0], streams.err
    assert not found
    assert contents(watched) == before
    assert "no shard" in streams.out


@pytest.mark.parametrize("name", ["run", *MODES])
def test_the_plan_is_json_on_request(name: str, watched: Path, capsys):
    words = MODES.get(name, RUN)[0].format(tmp=watched).split()
    assert main([name, *words, "--dry-run", "--json"]) == 0
    plans = json.loads(capsys.readouterr().out)
    assert all({"stage", "state", "why"} <= set(plan) for plan in plans)


def test_the_watch_sees_what_is_written(watched: Path, monkeypatch):
    (watched / "home" / "x").write_text("")
    assert calls_that_write(monkeypatch, lambda: (watched / "home" / "y").write_text("z"))
    assert calls_that_write(monkeypatch, lambda: (watched / "home" / "folder").mkdir())
    assert not calls_that_write(monkeypatch, lambda: (watched / "home" / "x").read_text())


@pytest.mark.parametrize(
    ("words", "why"),
    [
        ("train --manifest {tmp}/none --out {tmp}/d", "is not there"),
        ("train --manifest {tmp}/set --out {tmp}/d --loss nothing", "is not known"),
        ("train --manifest {tmp}/set --out {tmp}/d --backbone nothing", "nothing"),
        ("evaluate --checkpoint {tmp}/none --manifest {tmp}/set --out {tmp}/e", "none"),
        (
            "evaluate --checkpoint {tmp}/detector --manifest {tmp}/set --out {tmp}/e --split tests",
            "is not known",
        ),
        ("forge --target {tmp}/none.png --method blend-self --out {tmp}/c.png", "none.png"),
        ("forge --target {tmp}/a.png --method swap-delaunay --out {tmp}/c.png", "--source"),
        ("run --out {tmp}/new --shard 3/2", "i/n"),
        ("run --out {tmp}/new --to nowhere", "not known"),
    ],
)
def test_what_would_be_refused_is_refused(words: str, why: str, watched: Path, capsys):
    before = contents(watched)
    assert main([*words.format(tmp=watched).split(), "--dry-run"]) in (2, 3)
    streams = capsys.readouterr()
    assert why in streams.err + str(streams)
    assert contents(watched) == before


def test_fresh_and_shard_are_in_the_plan(watched: Path, capsys):
    out = ["run", "--out", str(watched / "begun"), "--dry-run"]
    assert main([*out, "--to", "cells", "--fresh"]) == 0
    assert "asked for by --fresh" in capsys.readouterr().out
    assert main([*out, "--to", "cells", "--shard", "2/3"]) == 0
    assert "of its shards those of host 2/3" in capsys.readouterr().out
