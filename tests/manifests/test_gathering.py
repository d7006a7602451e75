"""Manifests gathered into one: no picture twice, balanced by cell, splits that follow from seed and id."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from manifests.atomic import digest_bytes
from manifests.errors import DataError, UsageError
from manifests.gathering import gather
from manifests.images import encode
from manifests.records import ImageRecord
from manifests.store import read_manifest, table_of, write_manifest

CELLS = ("White/Male", "Black/Female")
SHARES = {"train": 0.5, "val": 0.25, "test": 0.25}


def picture(seed: int, light: int = 0) -> np.ndarray:
    coarse = np.random.default_rng(seed).uniform(40, 200, (8, 8, 3))
    return (np.kron(coarse, np.ones((8, 8, 1))) + light).clip(0, 255).astype(np.uint8)


def source(
    folder: Path, seeds: range, name: str, taxonomy: str = "fairface4", light: int = 0, **changes: Any
) -> Path:
    rows = []
    for k, seed in enumerate(seeds):
        cell = CELLS[k % 2]
        data = encode(picture(seed, light), "png")
        path = f"images/{name}-{seed}.png"
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_bytes(data)
        rows.append(
            ImageRecord(
                **{
                    "image_id": f"{name}-{seed:03d}",
                    "path": path,
                    "sha256": digest_bytes(data),
                    "width": 64,
                    "height": 64,
                    "label": 0,
                    "method": "none",
                    "family": "none",
                    "race": cell.split("/")[0],
                    "gender": cell.split("/")[1],
                    "cell": cell,
                    "licence": f"licence of {name}",
                    "dataset": name,
                    **changes,
                }
            )
        )
    write_manifest(table_of(rows, taxonomy=taxonomy), folder / "manifest.parquet")
    return folder


def test_cells_are_balanced_and_splits_shared_out(tmp_path: Path) -> None:
    a, b = source(tmp_path / "a", range(12), "a"), source(tmp_path / "b", range(100, 109), "b")
    made = gather([a, b], tmp_path / "out", shares=SHARES, per_cell=8)
    table = read_manifest(made.manifest)
    assert Counter(zip(table["cell"].to_pylist(), table["split"].to_pylist(), strict=True)) == {
        (cell, split): n for cell in CELLS for split, n in (("train", 4), ("val", 2), ("test", 2))
    }
    assert made.left_out["more than per_cell"] == 21 - 16
    for row in table.to_pylist():
        assert digest_bytes((tmp_path / "out" / row["path"]).read_bytes()) == row["sha256"]
        assert row["licence"] == f"licence of {row['dataset']}"


def test_one_split_can_be_taken_out(tmp_path: Path) -> None:
    whole = gather([source(tmp_path / "a", range(20), "a")], tmp_path / "whole", shares=SHARES)
    part = gather([tmp_path / "whole"], tmp_path / "part", shares={"test": 1.0}, split="test")
    table = read_manifest(whole.manifest)
    wanted = [
        i
        for i, split in zip(table["image_id"].to_pylist(), table["split"].to_pylist(), strict=True)
        if split == "test"
    ]
    assert read_manifest(part.manifest)["image_id"].to_pylist() == wanted != []
    with pytest.raises(DataError, match="gave no image"):
        gather([tmp_path / "whole"], tmp_path / "none", shares={"test": 1.0}, split="elsewhere")


def test_the_order_of_sources_changes_nothing(tmp_path: Path) -> None:
    a, b = source(tmp_path / "a", range(12), "a"), source(tmp_path / "b", range(100, 109), "b")
    one = gather([a, b], tmp_path / "one", shares=SHARES, per_cell=5)
    two = gather([b, a], tmp_path / "two", shares=SHARES, per_cell=5)
    assert one.manifest.read_bytes() == two.manifest.read_bytes()
    three = gather([a, b], tmp_path / "three", shares=SHARES, per_cell=5, seed=1)
    assert three.manifest.read_bytes() != one.manifest.read_bytes()


def test_a_picture_comes_once(tmp_path: Path) -> None:
    a = source(tmp_path / "a", range(6), "a")
    same, brighter = source(tmp_path / "b", range(6), "b"), source(tmp_path / "c", range(6), "c", light=10)
    made = gather([a, same, brighter], tmp_path / "out", shares=SHARES)
    assert made.images == 6
    assert made.left_out == {"equal to another": 6, "the same picture to the eye": 6}


def test_gathering_twice_leaves_the_same_folder(tmp_path: Path) -> None:
    a = source(tmp_path / "a", range(6), "a")
    first = gather([a], tmp_path / "out", shares=SHARES).manifest.read_bytes()
    assert gather([a], tmp_path / "out", shares=SHARES).manifest.read_bytes() == first


def test_what_cannot_be_gathered_is_refused(tmp_path: Path) -> None:
    a = source(tmp_path / "a", range(6), "a")
    with pytest.raises(UsageError, match="no source"):
        gather([], tmp_path / "out", shares=SHARES)
    with pytest.raises(UsageError, match="several taxonomies"):
        gather(
            [a, source(tmp_path / "b", range(6), "b", taxonomy="fairface7")], tmp_path / "out", shares=SHARES
        )
    fakes = source(tmp_path / "c", range(6), "c", label=1, method="swap", family="swap")
    with pytest.raises(DataError, match="is a fake"):
        gather([a, fakes], tmp_path / "out", shares=SHARES)
    with pytest.raises(UsageError, match="do not sum to 1"):
        gather([a], tmp_path / "out", shares={"train": 0.5})


def test_nothing_and_nobody_of_another_manifest_is_kept(tmp_path: Path) -> None:
    a, b = source(tmp_path / "a", range(12), "a"), source(tmp_path / "b", range(100, 110), "b")
    same = source(tmp_path / "same", range(4), "a")  # in bytes and by name
    bright = source(tmp_path / "bright", range(4, 8), "bright", light=2)  # the same to the eye
    known = source(tmp_path / "known", range(300, 304), "known", "fairface7", identity_id="somebody")
    also = source(tmp_path / "also", range(400, 406), "also", identity_id="somebody")
    made = gather([a, b, also], tmp_path / "out", shares={"test": 1.0}, without=[same, bright, known])
    kept = set(read_manifest(made.manifest)["image_id"].to_pylist())
    assert kept == {f"a-{k:03d}" for k in range(8, 12)} | {f"b-{k:03d}" for k in range(100, 110)}
    assert made.left_out["in a manifest that it is to be without"] == 4 + 6
    assert made.left_out["the same picture to the eye"] == 4


def test_a_manifest_without_itself_is_empty(tmp_path: Path) -> None:
    a = source(tmp_path / "a", range(6), "a")
    with pytest.raises(DataError, match="gave no image"):
        gather([a], tmp_path / "out", shares={"test": 1.0}, without=[a])
