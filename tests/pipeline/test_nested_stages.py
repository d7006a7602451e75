"""The stages of the second dataset are stages like any other: chosen, planned, sharded, resumed."""

import json
import os
import shutil
from pathlib import Path

import pytest

from manifests.atomic import digest_file, write_json
from manifests.errors import UsageError
from pipeline.__main__ import main
from pipeline.engine.config import Config
from pipeline.engine.config_file import load_config
from pipeline.engine.run_directory import RunDirectory
from pipeline.engine.runner import plan, select
from pipeline.engine.stages import members

CROSS = ["cross/sample", "cross/verify", "cross/forge", "cross/pair"]


@pytest.fixture
def copy(small_run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The small run, to be changed."""
    monkeypatch.setenv("FAIRFORGE_DATA", "")
    out = tmp_path / "run"
    shutil.copytree(small_run, out)
    return out


def files(folder: Path) -> dict[str, str]:
    """sha256 of every file below a folder, by its name."""
    return {
        path.relative_to(folder).as_posix(): digest_file(path)
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def call(out: Path, *words: str) -> int:
    """`fairforge` on the small run, in this process."""
    return main([*words, "--quiet", "--executor", "local", "--out", str(out)])


@pytest.mark.parametrize(
    ("first", "last", "expected"),
    [
        ("cross", "cross", CROSS),
        ("cross/verify", "cross/forge", CROSS[1:3]),
        ("audit", "cross", ["audit", *CROSS]),
        ("cross", "train", [*CROSS, "train"]),
        ("pair", "cross/sample", ["pair", "audit", "cross/sample"]),
    ],
)
def test_they_are_chosen_by_name_or_all_together(first: str, last: str, expected: list[str], monkeypatch):
    monkeypatch.setenv("FAIRFORGE_DATA", "")
    assert [stage.name for stage in select(first, last, Config())] == expected


def test_an_unknown_name_of_the_group_is_said_with_the_nearest(monkeypatch):
    monkeypatch.setenv("FAIRFORGE_DATA", "")
    with pytest.raises(UsageError, match="did you mean cross/verify"):
        select(None, "cross/verfy", Config())
    assert members("") == members("cros") == []


def test_plan_and_status_name_each(copy: Path, capsys: pytest.CaptureFixture[str]):
    shutil.rmtree(copy / "cross" / "dataset")
    assert main(["plan", "--out", str(copy), "--json"]) == 0
    found = {one["stage"]: one for one in json.loads(capsys.readouterr().out)}
    assert [found[name]["state"] for name in CROSS] == ["done", "done", "done", "missing"]
    assert found["cross/verify"]["done"] == 2
    assert found["evaluate"]["state"] == "waiting"
    assert found["train"]["state"] == "done"
    assert main(["status", "--out", str(copy), "--json"]) == 0
    said = {one["stage"]: one for one in json.loads(capsys.readouterr().out)}
    assert [said[name]["state"] for name in CROSS] == [*["finished"] * 3, "not started"]
    assert said["cross/sample"]["shards_done"] == 2
    assert said["cross/sample"]["summary"]["candidates"] > 0
    assert main(["plan", "--out", str(copy)]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert len({line.index(line.split()[1]) for line in lines}) == 1, "the columns are aligned"


def test_hosts_share_their_shards_and_the_bytes_are_the_same(copy: Path):
    before = files(copy / "cross")
    shutil.rmtree(copy / "cross" / "sample")
    only = ["run", "--from", "cross/sample", "--to", "cross/sample", "--shard"]
    assert call(copy, *only, "1/2") == 5
    assert [path.name for path in (copy / "cross" / "sample").glob("part-*")] == ["part-00000.parquet"]
    assert call(copy, *only, "2/2") == 0
    assert files(copy / "cross") == before


def test_fresh_and_a_lost_file_make_again_what_they_should(copy: Path, capsys: pytest.CaptureFixture[str]):
    before = files(copy / "cross")
    times = {path: path.stat().st_mtime_ns for path in (copy / "cross" / "forge").rglob("*.png")}
    manifest = copy / "cross" / "dataset" / "manifest.parquet"
    old = os.stat(manifest).st_mtime_ns
    assert call(copy, "run", "--from", "cross/pair", "--to", "cross/pair", "--fresh") == 0
    assert os.stat(manifest).st_mtime_ns > old
    assert {path: path.stat().st_mtime_ns for path in times} == times
    next((copy / "cross" / "dataset").rglob("*.webp")).unlink()
    capsys.readouterr()
    assert main(["cross", "--executor", "local", "--out", str(copy)]) == 0
    said = capsys.readouterr().err.splitlines()
    assert [f"{name}: done already" in said for name in CROSS] == [True, True, True, False]
    assert any(line.startswith("cross/pair: shard 0 is made again") for line in said)
    assert said[-1].endswith(f"next: fairforge train --out {copy}")
    assert files(copy / "cross") == before


def test_a_run_of_before_goes_on_from_what_it_has(copy: Path):
    """Until they were stages of their own, one stage `cross` had the marker of them all; the others lay where
    they lie.
    """
    write_json(copy / "cross" / "key.json", {"version": 1})
    write_json(copy / "cross" / "done" / "stage.json", {"key": "k", "digest": "d"})
    run = RunDirectory(copy, load_config(copy / "config.toml"))
    assert {one.stage: one.state for one in plan(run)} == dict.fromkeys(
        (stage.name for stage in select(None, None, run.config)), "done"
    )
    assert "cross" not in run.digests()
    assert set(run.digests()) >= {"cross/sample", "cross/verify", "cross/forge", "cross/dataset", "dataset"}


def test_what_comes_next_inside_the_group_is_the_rest_of_it(copy: Path, capsys: pytest.CaptureFixture[str]):
    assert main(["run", "--to", "cross/verify", "--executor", "local", "--out", str(copy)]) == 0
    assert capsys.readouterr().err.splitlines()[-1].endswith(f"next: fairforge cross --out {copy}")
