"""Sets beyond the memory, and in shards: the checkpoint is, to the byte, that of files kept in memory."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from detector.training import data
from detector.training.loop import train
from detector.training.settings import TrainSettings
from manifests.columns import with_values
from manifests.errors import DataError
from manifests.picture_shards import write_shard
from manifests.store import read_manifest, write_manifest
from tests.detector.detector_fixtures import TINY, to_come

SETTINGS = TrainSettings(**{**TINY, "batch": 16, "epochs": 2})


@pytest.fixture(scope="module")
def expected(manifest: Path, tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """The checkpoint of a training from files that are all kept in memory."""
    out = tmp_path_factory.mktemp("expected")
    return train(SETTINGS, manifest, out, lambda line: None).checkpoint.read_bytes()


@pytest.fixture(scope="module")
def shards(manifest: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same manifest with its pictures in shards of 20."""
    out = tmp_path_factory.mktemp("shards")
    table = read_manifest(manifest)
    folder = manifest if manifest.is_dir() else manifest.parent
    paths = table["path"].to_pylist()
    places = [f"shards/{k // 20:05d}.tar/{k}{Path(path).suffix}" for k, path in enumerate(paths)]
    for start in range(0, len(paths), 20):
        names = range(start, min(start + 20, len(paths)))
        members = [(places[k].rpartition("/")[2], (folder / paths[k]).read_bytes()) for k in names]
        write_shard(out / f"shards/{start // 20:05d}.tar", members)
    bare = with_values(table, "mask_path", [None] * len(paths))
    write_manifest(with_values(bare, "path", places), out / "manifest.parquet")
    return out


def _read_anew(monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """Room for ten pictures; the files that are read after the start."""
    monkeypatch.setattr(data, "MEMORY", 10 * 3 * SETTINGS.input_size**2)
    read, real = [], data.read_image

    def counted(path: Path, *rest: Any) -> Any:
        read.append(path)
        return real(path, *rest)

    monkeypatch.setattr(data, "read_image", counted)
    return read


def test_rows_beyond_the_memory_are_read_when_needed(
    manifest: Path, tmp_path: Path, expected: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    read = _read_anew(monkeypatch)
    assert train(SETTINGS, manifest, tmp_path, lambda line: None).checkpoint.read_bytes() == expected
    often = [path for path in set(read) if read.count(path) > 1]
    once = [path for path in set(read) if read.count(path) == 1]
    assert len(once) == 20  # ten of each split are kept
    assert len(often) > 20


def test_shards_give_the_same_also_after_a_stop(
    shards: Path, tmp_path: Path, expected: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    _read_anew(monkeypatch)

    def stopping(event: dict[str, Any]) -> None:
        if event["event"] == "epoch" and event["epoch"] == 1:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train(SETTINGS, shards, tmp_path, stopping)
    seen: list[dict[str, Any]] = []
    found = train(SETTINGS, shards, tmp_path, to_come(seen))
    assert found.checkpoint.read_bytes() == expected
    epochs = [line for line in seen if line["event"] == "epoch"]
    assert [line["epoch"] for line in epochs] == [2]
    assert 0 <= epochs[0]["waited"] <= 1


def test_damage_behind_the_memory_is_said_before_the_first_step(
    shards: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _read_anew(monkeypatch)
    shard = sorted((shards / "shards").iterdir())[-1]
    whole = shard.read_bytes()
    try:
        shard.write_bytes(whole.replace(b"\x89PNG", b"\x89XNG").replace(b"\xff\xd8\xff", b"\xff\xd9\xff"))
        with pytest.raises(DataError, match="sha256 differs"):
            train(SETTINGS, shards, tmp_path, lambda line: None)
    finally:
        shard.write_bytes(whole)
