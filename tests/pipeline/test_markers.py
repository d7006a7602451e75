"""Markers of a run folder that somebody else made, or that were damaged: no file outside is touched, and
shards are made again.
"""

import json
import shutil
import warnings
from dataclasses import FrozenInstanceError, fields, replace
from pathlib import Path

import pytest

from manifests.atomic import digest_file
from manifests.errors import DataWarning, UsageError
from pipeline.engine.config import Config
from pipeline.engine.markers import (
    FileFact,
    ShardMarker,
    changed_files,
    read_marker,
    read_stage_marker,
    remove_marker,
    shard_markers,
)
from pipeline.engine.run_directory import RunDirectory
from pipeline.engine.shards import content_of, do_shard, drop_all, drop_leftovers, not_done
from tests.pipeline.test_shards import tasks_in


def marker_of(folder: Path, files: object, number: int = 99) -> Path:
    path = folder / "done" / f"{number:05d}.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps({"key": "x", "digest": "x", "content": "", "files": files}))
    return path


@pytest.mark.parametrize(
    "shape", [lambda name: [name], lambda name: {name: [9, "0" * 64]}], ids=["names", "facts"]
)
@pytest.mark.parametrize(
    "name", ["../../victim.txt", "ABSOLUTE", "images/../../../victim.txt", "link/victim.txt"]
)
def test_a_marker_removes_nothing_outside(tmp_path: Path, name: str, shape):
    victim, stage = tmp_path / "victim.txt", tmp_path / "run" / "cells"
    victim.write_text("precious")
    stage.mkdir(parents=True)
    (stage / "link").symlink_to(tmp_path)
    marker = marker_of(stage, shape(str(victim) if name == "ABSOLUTE" else name))
    (stage / "part-00099.parquet").touch()
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        drop_leftovers(stage, 1)
    assert [one.category for one in caught] == ([] if name.startswith("link") else [DataWarning])
    assert victim.read_text() == "precious"
    assert not marker.exists()
    assert not (stage / "part-00099.parquet").exists()


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{",
        "[1]",
        "null",
        '{"files": null}',
        '{"key": 5}',
        '{"files": {"a": 3}}',
        '{"files": [1]}',
        '{"files": {"a": [1, 2]}}',
        '{"files": [], "key": null}',
        "[" * 100_000,
        '{"files": {"a": ["9", "x"]}}',
        '{"content": []}',
    ],
)
def test_a_damaged_marker_is_none_and_its_shard_is_made_again(tmp_path: Path, text: str):
    task = tasks_in(tmp_path)[0]
    do_shard(task)
    good = task.marker.read_bytes()
    task.marker.write_text(text)
    assert read_marker(task.marker) is None
    assert not_done(task) is not None
    assert content_of(tmp_path) == ""
    do_shard(task)
    assert not_done(task) is None
    assert task.marker.read_bytes() == good


def test_what_is_no_marker_by_its_name_is_passed_over(tmp_path: Path):
    for task in tasks_in(tmp_path, 2):
        do_shard(task)
    for name in ("0abc.json", "00000.json.bak", "stage.json", "1.json", "00001x.json"):
        (tmp_path / "done" / name).write_text("{}")
    assert [number for number, _ in shard_markers(tmp_path)] == [0, 1]
    drop_leftovers(tmp_path, 1)
    assert sorted(path.name for path in (tmp_path / "done").iterdir()) == sorted(
        ["00000.json", "0abc.json", "00000.json.bak", "stage.json", "1.json", "00001x.json"]
    )


def test_a_folder_in_the_place_of_a_marker_gives_way(tmp_path: Path):
    first, second = tasks_in(tmp_path, 2)
    for task in (first, second):
        do_shard(task)
        task.marker.unlink()
        (task.marker / "inner").mkdir(parents=True)
        assert not_done(task) is not None
    do_shard(first)
    assert not_done(first) is None
    drop_leftovers(tmp_path, 1)
    assert not second.marker.exists()


CHANGES = {
    "missing": lambda path: path.unlink(),
    "emptied": lambda path: path.write_bytes(b""),
    "cut off": lambda path: path.write_bytes(path.read_bytes()[:-1]),
    "a folder": lambda path: (path.unlink(), path.mkdir()),
    "altered": lambda path: path.write_bytes(path.read_bytes()[::-1]),
    "a link out": lambda path: (
        shutil.move(path, path.parents[2] / "x"),
        path.symlink_to(path.parents[2] / "x"),
    ),
}


@pytest.mark.parametrize("how", CHANGES)
def test_a_file_that_is_not_as_it_was_written_is_named_and_made_again(tmp_path: Path, how: str):
    folder = tmp_path / "stage"
    task = tasks_in(folder)[0]
    do_shard(task)
    path = folder / "images" / "0-1.bin"
    CHANGES[how](path)
    assert not_done(task) == "images/0-1.bin"
    if how == "a folder":
        path.rmdir()
    do_shard(task)
    assert not_done(task) is None
    assert path.read_bytes() == b"images/0-1.bin"


def test_which_files_are_compared(tmp_path: Path):
    files = []
    for number in range(64):
        path = tmp_path / f"{number}.bin"
        path.write_bytes(f"{number:04d}".encode())
        files.append(FileFact(tmp_path, path.name, 4, digest_file(path)))
        path.write_bytes(b"else")
    assert len(changed_files(files, "whole")) == 64
    assert changed_files(files, "none") == []
    some = changed_files(files, "sampled")
    assert 0 < len(some) < 16
    (tmp_path / "5.bin").unlink()
    assert "5.bin" in changed_files(files, "sampled")


def test_markers_of_earlier_versions_have_names_alone(tmp_path: Path):
    task = tasks_in(tmp_path)[0]
    do_shard(task)
    value = json.loads(task.marker.read_text())
    task.marker.write_text(json.dumps({**value, "files": sorted(value["files"])}))
    assert not_done(task) is None
    assert content_of(tmp_path) == value["content"]
    (tmp_path / "images" / "0-2.bin").write_bytes(b"")
    assert not_done(task) == "images/0-2.bin"
    assert not_done(replace(task, key="other")) is not None


STAGE = {"key": "k", "digest": "d", "main": "a", "parts": {}, "outputs": {"a": "0"}, "summary": {}}


@pytest.mark.parametrize(
    "change",
    [
        *({name: None} for name in STAGE),
        {"outputs": ["a"]},
        {"outputs": {"a": 1}},
        {"digest": 3},
        {"parts": []},
    ],
)
def test_a_stage_marker_of_another_shape_is_none(tmp_path: Path, change: dict):
    path = tmp_path / "sample" / "done" / "stage.json"
    path.parent.mkdir(parents=True)
    path.write_text(json.dumps(STAGE))
    assert read_stage_marker(path) == STAGE
    path.write_text(json.dumps({**STAGE, **change}))
    assert read_stage_marker(path) == {}
    RunDirectory(tmp_path, Config()).digests()


def test_nothing_is_removed_through_a_link(tmp_path: Path):
    (tmp_path / "big").mkdir()
    (tmp_path / "big" / "precious").touch()
    (tmp_path / "verify").symlink_to("big")
    with pytest.raises(UsageError, match=r"is a link to .*/big") as caught:
        drop_all(tmp_path / "verify", tmp_path)
    assert "empty the folder" in caught.value.fix
    assert (tmp_path / "big" / "precious").exists()
    (tmp_path / "cross").symlink_to("big")
    (tmp_path / "big" / "pair").mkdir()
    with pytest.raises(UsageError, match=r"/cross: is a link to .*/big"):
        drop_all(tmp_path / "cross" / "pair", tmp_path)
    assert (tmp_path / "big" / "pair").is_dir()


def test_what_is_not_there_is_changed_and_removed_without_a_word(tmp_path: Path):
    fact = FileFact(tmp_path, "gone.png")
    assert fact.changed("whole")
    (tmp_path / "gone.png").mkdir()
    assert fact.changed("whole"), "a folder is no file"
    (tmp_path / "gone.png").rmdir()
    fact.remove()
    remove_marker(tmp_path / "gone.json")
    assert list(tmp_path.iterdir()) == []


def test_a_marker_cannot_be_changed(tmp_path: Path):
    marker = ShardMarker(*[None] * len(fields(ShardMarker)))
    with pytest.raises(FrozenInstanceError):
        marker.digest = "other"
