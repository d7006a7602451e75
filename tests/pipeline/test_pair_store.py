"""`pair.store = shards`: the dataset of a run in shards is the dataset in files, and whoever reads it goes
on as before.
"""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path

import pytest

from manifests.store import read_manifest, validate
from tests.pipeline.conftest import command, environment


@pytest.fixture(scope="module")
def in_shards(small_run: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the small run whose stage pair was made again, in shards, with the audits after it."""
    out = tmp_path_factory.mktemp("store") / "run"
    shutil.copytree(small_run, out)
    arguments = ["run", "--out", str(out), "--from", "pair", "--to", "audit", "--set", "pair.store=shards"]
    done = subprocess.run(command(arguments), env=environment(), capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-4000:]
    return out


def test_the_dataset_is_the_same_but_for_its_paths(small_run: Path, in_shards: Path) -> None:
    files, shards = read_manifest(small_run / "dataset"), read_manifest(in_shards / "dataset")
    places = ["path", "mask_path"]
    assert files.drop_columns(places).equals(shards.drop_columns(places))
    assert all(path.startswith("shards/0000") for path in shards["path"].to_pylist())
    assert validate(in_shards / "dataset") == []


def test_its_audits_are_those_of_files(small_run: Path, in_shards: Path) -> None:
    assert (small_run / "audit" / "audit.json").read_bytes() == (
        in_shards / "audit" / "audit.json"
    ).read_bytes()


def test_a_damaged_shard_is_made_again(in_shards: Path) -> None:
    shard = in_shards / "dataset" / "shards" / "00001.tar"
    before = shard.read_bytes()
    shard.write_bytes(before[:-2000])
    arguments = [
        "run",
        "--out",
        str(in_shards),
        "--from",
        "pair",
        "--to",
        "pair",
        "--set",
        "pair.store=shards",
    ]
    done = subprocess.run(command(arguments), env=environment(), capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-4000:]
    assert "1 of" in done.stderr
    assert shard.read_bytes() == before
    facts = json.loads((in_shards / "dataset" / "done" / "00001.json").read_text())["files"]
    assert list(facts) == ["shards/00001.tar"]
