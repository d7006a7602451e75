"""`pair.qualities`: every image once in each quality, aligned, balanced, on the same road for real and
fake.
"""

import shutil
from collections import Counter
from pathlib import Path

import numpy as np
import pyarrow.compute as pc
import pytest

from manifests.balance import check_balance, shortfalls
from manifests.h264 import through_h264
from manifests.images import read_image
from manifests.schema import SCHEMA, check_table, first_levels
from manifests.store import read_manifest, validate, write_manifest, write_table
from pipeline.__main__ import main

LEVELS = ("raw", "c23", "c40", "jpeg")


@pytest.fixture(scope="module")
def dataset(small_run: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("tuples") / "run"
    shutil.copytree(
        small_run,
        out,
        ignore=shutil.ignore_patterns("detector", "cross", "report", "release", "evaluate", "audit"),
    )
    levels = "[" + ", ".join(f'"{name}"' for name in LEVELS) + "]"
    assert (
        main(
            ["pair", "--out", str(out), "--executor", "local", "--set", f"pair.qualities={levels}", "--quiet"]
        )
        == 0
    )
    return out / "dataset"


def test_each_image_is_there_once_in_each_quality(dataset: Path, small_run: Path):
    table, plain = read_manifest(dataset), read_manifest(small_run / "dataset")
    assert table.num_rows == len(LEVELS) * plain.num_rows
    assert not check_balance(table)
    assert not validate(dataset)
    firsts = first_levels(table)
    assert firsts.column("image_id").to_pylist() == plain.column("image_id").to_pylist()
    rows = table.to_pylist()
    assert Counter(
        (row["label"], row["codec"], row["quality"] if row["codec"] == "h264" else None) for row in rows
    ) == Counter(
        {
            (label, codec, crf): firsts.filter(pc.equal(firsts["label"], label)).num_rows
            for label in (0, 1)
            for codec, crf in (("png", None), ("h264", 23), ("h264", 40), ("jpeg", None))
        }
    )


def test_tuples_are_one_image_and_h264_is_what_it_says(dataset: Path):
    by_tuple: dict[str, dict[object, dict]] = {}
    for row in read_manifest(dataset).to_pylist():
        by_tuple.setdefault(row["tuple_id"], {})[
            row["codec"], row["quality"] if row["codec"] == "h264" else None
        ] = row
    for name, found in list(by_tuple.items())[:6]:
        raw = read_image(dataset / found["png", None]["path"])
        assert found["png", None]["image_id"] == name
        for crf in (23, 40):
            np.testing.assert_array_equal(
                read_image(dataset / found["h264", crf]["path"]), through_h264(raw, crf)
            )
        assert np.abs(read_image(dataset / found["jpeg", None]["path"]).astype(int) - raw).mean() < 12
        assert len({row["mask_path"] for row in found.values()}) == 1
        assert len({row["pair_id"] for row in found.values()}) == 1


def test_a_fakes_target_is_its_pairs_real_half_at_the_same_quality(dataset: Path):
    rows = {row["image_id"]: row for row in read_manifest(dataset).to_pylist()}
    for row in rows.values():
        if row["label"]:
            target = rows[row["target_id"]]
            assert (target["label"], target["pair_id"]) == (0, row["pair_id"])
            assert (target["codec"], target["quality"]) == (row["codec"], row["quality"])


def test_a_lacking_quality_is_found(dataset: Path):
    table = read_manifest(dataset)
    lost = next(row["image_id"] for row in table.to_pylist() if row["codec"] == "h264" and row["label"])
    short = table.filter(pc.not_equal(table["image_id"], lost))
    assert [finding.code for finding in check_balance(short)] == ["incomplete-tuple"]
    assert not shortfalls(short)


def test_a_detector_pairs_halves_of_one_quality(dataset: Path):
    from detector.training.data import _pair_ids

    table = read_manifest(dataset)
    names = Counter(
        zip(_pair_ids(table), table["codec"].to_pylist(), table["quality"].to_pylist(), strict=True)
    )
    assert len({name for name, *_ in names}) == len(names)


def test_an_older_manifest_without_the_column_is_read(small_run: Path, tmp_path: Path):
    old = read_manifest(small_run / "dataset").drop_columns(["tuple_id"])
    assert not check_table(old)
    write_table(old, tmp_path / "manifest.parquet")
    found = read_manifest(tmp_path)
    assert sorted(found.schema.names) == sorted(SCHEMA.names)
    assert found["tuple_id"].null_count == found.num_rows
    write_manifest(found, tmp_path / "again.parquet")


@pytest.mark.parametrize("value", ['["c24"]', '["raw", "raw"]'])
def test_unknown_and_repeated_qualities_are_refused(
    value: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    assert main(["pair", "--out", str(tmp_path / "r"), "--set", f"pair.qualities={value}"]) == 2
    assert "pair.qualities" in capsys.readouterr().err
