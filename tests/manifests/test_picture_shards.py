"""Pictures in shards: every reader of a manifest gives what it gives of files, to the byte."""

from __future__ import annotations

import tarfile
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from benchmarks.scale_data import pictures
from benchmarks.scale_steps import release_info
from detector.training.data import classes_of, read_split
from manifests.audit import audit_manifest
from manifests.columns import with_values
from manifests.errors import DataError, MissingError
from manifests.exporters import EXPORTERS
from manifests.images import read_bytes, read_image
from manifests.picture_shards import is_there, shard_name, write_shard
from manifests.release import build_release
from manifests.store import read_manifest, validate, write_manifest


@pytest.fixture(scope="module")
def both(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """The same manifest with its pictures in files, and in shards."""
    files, shards = tmp_path_factory.mktemp("files"), tmp_path_factory.mktemp("shards")
    table = pictures(400, files)
    write_manifest(table, files / "manifest.parquet")
    columns: dict[str, list[str | None]] = {"path": [], "mask_path": []}
    for start in range(0, table.num_rows, 150):
        shard, members = f"shards/{start:05d}.tar", []
        for row in table.slice(start, 150).select(["image_id", "path", "mask_path"]).to_pylist():
            for column, ending in (("path", ".jpg"), ("mask_path", ".mask.png")):
                if row[column] is None:
                    columns[column].append(None)
                    continue
                name = row["image_id"] + ending
                members.append((name, (files / row[column]).read_bytes()))
                columns[column].append(f"{shard}/{name}")
        write_shard(shards / shard, members)
    for column, values in columns.items():
        table = with_values(table, column, values)
    write_manifest(table, shards / "manifest.parquet")
    return files, shards


def _tree(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


def test_files_are_there_with_their_digests(both: tuple[Path, Path]) -> None:
    assert validate(both[1]) == []


def test_training_reads_the_same_pixels_and_masks(both: tuple[Path, Path]) -> None:
    data = []
    for folder in both:
        table = read_manifest(folder)
        data.append(read_split(table, folder, "train", classes_of(table), 24, "sampled"))
    assert (data[0].images == data[1].images).all()
    fake = int(np.flatnonzero(data[0].labels)[0])
    assert (data[0].mask(fake) == data[1].mask(fake)).all()


def test_audits_and_releases_are_the_same(both: tuple[Path, Path], tmp_path: Path) -> None:
    found = []
    for number, folder in enumerate(both):
        out = tmp_path / str(number)
        build_release(folder, out / "release", release_info())
        EXPORTERS.create("webdataset").export(folder, out / "webdataset")
        audits = audit_manifest(folder, ["duplicates", "cells"], {"cells": {"replicates": 20}})
        found.append((_tree(out), audits))
    assert found[0][0].keys() == found[1][0].keys()
    different = [name for name, data in found[0][0].items() if data != found[1][0][name]]
    assert different == []
    assert found[0][1] == found[1][1]


def test_a_shard_is_the_same_bytes_twice_and_a_tar_for_others(tmp_path: Path) -> None:
    for name in ("a.tar", "b.tar"):
        write_shard(tmp_path / name, [("x.jpg", b"one"), ("x.json", b"{}")])
    assert (tmp_path / "a.tar").read_bytes() == (tmp_path / "b.tar").read_bytes()
    with tarfile.open(tmp_path / "a.tar") as tar:
        assert tar.getnames() == ["x.jpg", "x.json"]
    assert read_bytes(tmp_path / "a.tar" / "x.jpg") == b"one"


def test_what_is_missing_changed_or_damaged_is_said(both: tuple[Path, Path], tmp_path: Path) -> None:
    write_shard(tmp_path / "a.tar", [("x.jpg", b"one")])
    assert not is_there(tmp_path / "a.tar" / "y.jpg")
    with pytest.raises(MissingError, match="no such picture"):
        read_bytes(tmp_path / "a.tar" / "y.jpg")
    with pytest.raises(MissingError):
        read_bytes(tmp_path / "none.tar" / "y.jpg")
    with pytest.raises(DataError, match="sha256 differs"):
        read_bytes(tmp_path / "a.tar" / "x.jpg", "0" * 64)
    (tmp_path / "b.tar").write_bytes(b"no tar at all" * 100)
    with pytest.raises(DataError, match="not a readable tar"):
        read_image(tmp_path / "b.tar" / "x.jpg")
    write_shard(tmp_path / "a.tar", [("x.jpg", b"two"), ("z.jpg", b"three")])  # read anew once it has changed
    assert read_bytes(tmp_path / "a.tar" / "z.jpg") == b"three"


def test_which_file_a_path_leads_to() -> None:
    assert shard_name("shards/00000.tar/ab.jpg") == "shards/00000.tar"
    assert shard_name("images/ab/ab.jpg") == "images/ab/ab.jpg"
    assert shard_name("a.tar") == "a.tar"
    assert pa.array([shard_name("x.tar/y.tar/z.png")]).to_pylist() == ["x.tar"]
