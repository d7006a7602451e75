"""Rows that columns show to be in order are not looked at one by one: the findings are those of looking at
all.
"""

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from manifests import read_manifest, schema, store
from manifests.audit import audit_manifest
from manifests.errors import DataError
from manifests.plain_rows import plain_rows
from manifests.schema import CHECKED, SCHEMA, check_table
from manifests.store import read_table, write_table
from tests.manifests.manifest_rows import balanced_rows, table

ODD = {
    "image_id": ["..", "a/b", "a\\b", "é", "a\n", "a" * 256, ".a", ""],
    "path": [
        "../a.jpg",
        "/a.jpg",
        "a/../b.jpg",
        "a//b.jpg",
        "./a.jpg",
        "C:a.jpg",
        "a\\b.jpg",
        "é/a.jpg",
        "",
        "a/",
    ],
    "mask_path": ["../a.png", "masks/./a.png", "a\0.png", "a.png"],
    "audio_path": ["../a.wav", "a.wav"],
    "label": [2, -1, 1],
    "method": ["none", "swap-a", "Swap"],
    "family": ["none", "swap", "nothing"],
    "split": ["train", "training", ""],
    "origin": ["photograph", "drawing"],
    "cell": ["White/Male", "White", ""],
    "media": ["image", "video", "sound"],
    "frames": [3],
    "fake_segments": [[0.0, 1.0]],
}


def odd_tables():
    made = table(balanced_rows())
    for name, values in ODD.items():
        for value in values:
            for row in (0, made.num_rows - 1):
                column = made[name].to_pylist()
                column[row] = value
                at = made.column_names.index(name)
                yield made.set_column(at, SCHEMA.field(name), pa.array(column, SCHEMA.field(name).type))


def test_findings_are_those_of_all_rows_one_by_one(monkeypatch):
    tables = list(odd_tables())
    found = [check_table(one) for one in tables]
    monkeypatch.setattr(schema, "plain_rows", lambda table, allowed: np.zeros(table.num_rows, bool))
    assert found == [check_table(one) for one in tables]
    assert sum(map(bool, found)) > len(found) / 2


def test_usual_rows_are_plain():
    made = table(balanced_rows())
    assert plain_rows(made, {"family": ("none", "swap", "blend"), "split": ("train", "val", "test")}).all()
    assert not plain_rows(made, {"family": ("none",), "split": ("train",)}).all()


@pytest.mark.parametrize("rows", [1, 7, 1000])
def test_row_groups_are_read_whole(tmp_path, rows, monkeypatch):
    made = table(balanced_rows())
    write_table(made, tmp_path / "a.parquet", rows)
    monkeypatch.setattr("manifests.store.GROUP", 10)
    assert read_table(tmp_path / "a.parquet").equals(made)
    write_table(made.slice(0, 0), tmp_path / "b.parquet")
    assert read_table(tmp_path / "b.parquet").equals(made.slice(0, 0))


def test_an_audit_of_some_columns_finds_what_it_finds_in_all(tmp_path, monkeypatch):
    rows = balanced_rows()
    rows = [
        row.model_copy(update={"split": "val"}) if row.image_id.endswith("blend-b") else row for row in rows
    ]
    made = table(rows)
    write_table(made, tmp_path / "manifest.parquet")
    some = read_manifest(tmp_path, ("pair_id",))
    assert set(CHECKED) <= set(some.column_names)
    assert "landmarks" not in some.column_names
    found = audit_manifest(tmp_path, ["balance", "leaks"])
    monkeypatch.setattr(store, "_enough", lambda path, columns: None)
    assert "landmarks" in read_manifest(tmp_path, ("pair_id",)).column_names
    assert audit_manifest(tmp_path, ["balance", "leaks"]) == found
    assert not found["passed"]


def test_columns_that_are_not_read_still_have_to_be_there_in_their_type(tmp_path):
    made = table(balanced_rows())
    path = tmp_path / "manifest.parquet"
    write_table(made.drop_columns(["landmarks"]), path)
    with pytest.raises(DataError, match="lacks the columns landmarks"):
        read_manifest(path, ("pair_id",))
    at = made.column_names.index("psi")
    pq.write_table(made.set_column(at, "psi", pa.array(["x"] * made.num_rows)), path)
    with pytest.raises(DataError, match="psi is string"):
        read_manifest(path, ("pair_id",))


def test_a_manifest_without_its_metadata_is_read_whole(tmp_path):
    made = table(balanced_rows())
    write_table(made.replace_schema_metadata(None), tmp_path / "manifest.parquet")
    with pytest.warns(Warning, match="metadata are lost"):
        assert read_manifest(tmp_path, ("pair_id",)).column_names == made.column_names
