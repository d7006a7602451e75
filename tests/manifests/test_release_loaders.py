"""A release is loaded as it is by others' libraries, and its exports by what DeepfakeBench's and PG-FDD's
loaders ask for.
"""

import csv
import json
import socket

import numpy as np
import pyarrow.parquet as pq
import pytest
from PIL import Image

from manifests.exporters import EXPORTERS
from manifests.images import read_image
from manifests.release.croissant_records import records_of
from tests.manifests.release_fixture import SPLITS


@pytest.fixture(autouse=True)
def _offline(monkeypatch, tmp_path):
    def refuse(*args, **kwargs):
        raise AssertionError("the network was asked")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)


@pytest.fixture(scope="module")
def rows(finished):
    return pq.read_table(finished / "manifest.parquet").to_pylist()


def test_mlcroissant_makes_a_record_of_each_row(finished, rows):
    pytest.importorskip("mlcroissant")
    records = records_of(finished)
    assert [record["image_id"] for record in records] == [row["image_id"] for row in rows]
    assert all(
        record[name] == row[name]
        for record, row in zip(records, rows, strict=True)
        for name in ("label", "race", "path")
    )


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@pytest.mark.filterwarnings("ignore::ResourceWarning")
def test_datasets_loads_splits_types_and_pictures(finished, rows, tmp_path, monkeypatch):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    datasets = pytest.importorskip("datasets")
    monkeypatch.setattr(datasets.config, "HF_HUB_OFFLINE", True)
    datasets.disable_progress_bars()
    loaded = datasets.load_dataset(str(finished), cache_dir=str(tmp_path / "cache"))
    assert list(loaded) == list(SPLITS)
    known = {row["image_id"]: row for row in rows}
    for split in SPLITS:
        features = loaded[split].features
        assert features["label"].names == ["real", "fake"]
        assert (features["seed"].dtype, features["race_prob"].dtype, features["width"].dtype) == (
            "int64",
            "float32",
            "int32",
        )
        for item in loaded[split]:
            row = known.pop(item["image_id"])
            assert row["split"] == split
            assert all(
                item[name] == row[name]
                for name in ("label", "method", "cell", "seed", "licence", "target_id", "sha256")
            )
            assert np.array_equal(
                np.asarray(item["image"].convert("RGB")), read_image(finished / row["path"])
            )
    assert known == {}


def test_pytorchs_imagefolder_reads_each_split_as_it_is(finished, rows):
    torchvision = pytest.importorskip("torchvision")
    for split in SPLITS:
        folder = torchvision.datasets.ImageFolder(finished / "images" / split)
        assert folder.classes == ["fake", "real"]
        label = {finished / row["path"]: row["label"] for row in rows if row["split"] == split}
        found = {type(finished)(path): kind for path, kind in folder.samples}
        assert {path: 1 - kind for path, kind in found.items()} == label
        picture, _ = folder[0]
        assert picture.size == (16, 16)


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@pytest.mark.filterwarnings("ignore::ResourceWarning")
def test_webdataset_streams_what_is_exported_of_a_release(finished, rows, tmp_path):
    webdataset = pytest.importorskip("webdataset")
    EXPORTERS.create("webdataset", {"shard": 10}).export(finished, tmp_path / "w")
    urls = sorted(map(str, (tmp_path / "w").glob("*.tar")))
    assert len(urls) == 6
    seen = {}
    for sample in webdataset.WebDataset(urls, shardshuffle=False).decode("rgb8"):
        seen[sample["__key__"]] = (sample["json"]["label"], sample.get("png", sample.get("jpg")))
    assert {key: label for key, (label, _) in seen.items()} == {row["image_id"]: row["label"] for row in rows}
    assert all(np.array_equal(seen[row["image_id"]][1], read_image(finished / row["path"])) for row in rows)


@pytest.mark.parametrize("mode", SPLITS)
def test_deepfakebench_collects_frames_and_labels(finished, rows, tmp_path, monkeypatch, mode):
    """What its abstract_dataset.py asks: `<dataset>.json` with its own name inside, the mode under every
    label, numbers as names.

    Labels are looked up in `label_dict`; frames are opened from the working folder.
    """
    EXPORTERS.create("deepfakebench").export(finished, tmp_path / "b")
    monkeypatch.chdir(tmp_path / "b")
    label_dict = json.loads((tmp_path / "b" / "labels.json").read_text())
    collected = []
    for by_mode in json.loads((tmp_path / "b" / "drawn.json").read_text())["drawn"].values():
        for video in by_mode[mode].values():
            frames = sorted(video["frames"], key=lambda name: int(name.split("/")[-1].split(".")[0]))
            collected += [(name, label_dict[video["label"]]) for name in frames]
    assert len(collected) == sum(row["split"] == mode for row in rows)
    assert sum(label for _, label in collected) == sum(row["label"] for row in rows if row["split"] == mode)
    pixels = {read_image(finished / row["path"]).tobytes() for row in rows if row["split"] == mode}
    assert {np.asarray(Image.open(name).convert("RGB")).tobytes() for name, _ in collected} == pixels


def test_deepfakebench_finds_each_mode_under_labels_of_one_split_alone(tmp_path):
    """A method that the test split alone has is no error when its loader trains."""
    from manifests.store import read_manifest, write_manifest
    from tests.manifests.manifest_rows import drawn_set

    drawn_set(tmp_path / "m", per_cell=2, size=8, methods={"none": "none", "swap-a": "swap", "late": "swap"})
    table = read_manifest(tmp_path / "m")
    kept = [row["method"] != "late" or row["split"] == "test" for row in table.to_pylist()]
    write_manifest(table.filter(kept), tmp_path / "m" / "manifest.parquet")
    EXPORTERS.create("deepfakebench").export(tmp_path / "m", tmp_path / "b")
    labels = json.loads((tmp_path / "b" / "drawn.json").read_text())["drawn"]
    assert labels["drawn_late"]["train"] == {}
    assert labels["drawn_late"]["test"] != {}
    assert all(set(splits) == {"train", "val", "test"} for splits in labels.values())


def csv_rows(path):
    with open(path, newline="") as file:
        return list(csv.reader(file))[1:]


def test_pg_fdd_reads_columns_by_their_place_and_pairs_by_their_prefix(finished, rows, tmp_path, monkeypatch):
    """Column 0 a path from the working folder, 1 the label, 6 the intersection, 7 the method; `pairs/` +
    `faketrain.csv`.
    """
    EXPORTERS.create("purdue").export(finished, tmp_path / "p")
    monkeypatch.chdir(tmp_path / "p")
    fakes, reals = csv_rows("pairs/faketrain.csv"), csv_rows("pairs/realtrain.csv")
    assert sorted(fakes + reals) == sorted(csv_rows("train.csv"))
    known = {read_image(finished / row["path"]).tobytes(): row for row in rows}
    races = ("Asian", "White", "Black")
    for expected, lines in ((1, fakes), (0, reals)):
        assert lines
        for line in lines:
            row = known[np.asarray(Image.open(line[0]).convert("RGB")).tobytes()]
            assert int(line[1]) == row["label"] == expected
            race = races.index(row["race"]) if row["race"] in races else 3
            assert int(line[6]) == race + (0 if row["gender"] == "Male" else 4)
            assert (int(line[7]) > 0) == bool(expected)
