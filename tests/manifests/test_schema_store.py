"""The manifest on disk: round trip, the same bytes, and every way in which a file can be wrong."""

import errno
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

from manifests import atomic, read_manifest, store, validate, write_manifest
from manifests.columns import slices
from manifests.errors import DataError, MissingError, PartialError
from manifests.schema import SCHEMA, check_table, metadata_of, path_escapes
from manifests.store import read_rows, read_table, row_count, table_of, write_pieces, write_table
from tests.manifests.manifest_rows import balanced_rows, changed, drawn_set, record, table


def codes(found):
    return {finding.code for finding in found}


def test_round_trip_keeps_every_column(tmp_path):
    full = record(
        "a",
        age="20-29",
        race_prob=0.5,
        gender_prob=0.25,
        attribute_source="model:m@12345678",
        video_id="v",
        landmarks=[1.5, 2.5],
        landmark_scheme="five",
        mask_path="masks/a.png",
        generator="g",
        generator_sha256="0" * 64,
        seed=2**62,
        psi=0.75,
        licence="CC0-1.0",
        consent="synthetic",
    )
    bare = record("b", race=None, gender=None, cell=None, quality=None, sha256="", identity_id=None)
    made = table_of([bare, full], taxonomy="fairface4", metadata={"shortfall": "{}"})
    write_manifest(made, tmp_path / "m.parquet")
    back = read_manifest(tmp_path / "m.parquet")
    assert back.to_pylist() == [full.model_dump(), bare.model_dump()]
    assert back.schema.remove_metadata() == SCHEMA
    assert metadata_of(back) == {"schema_version": "1", "taxonomy": "fairface4", "shortfall": "{}"}


def test_the_same_rows_in_any_order_give_the_same_bytes(tmp_path):
    rows = balanced_rows()
    for name, order in (("a", rows), ("b", rows[::-1])):
        write_manifest(table(order), tmp_path / f"{name}.parquet")
    assert (tmp_path / "a.parquet").read_bytes() == (tmp_path / "b.parquet").read_bytes()


def test_a_folder_stands_for_its_manifest(tmp_path):
    drawn_set(tmp_path, per_cell=1)
    assert read_manifest(tmp_path).equals(read_manifest(tmp_path / "manifest.parquet"))


def test_a_folder_named_like_a_partition_adds_no_column(tmp_path):
    write_manifest(table(balanced_rows()), tmp_path / "split=train" / "manifest.parquet")
    assert read_manifest(tmp_path / "split=train").column_names == SCHEMA.names


@pytest.mark.parametrize(
    "path",
    [
        "../a.jpg",
        "/etc/passwd",
        "a/../../b.jpg",
        "",
        ".",
        "./",
        "a\\b.jpg",
        "C:/a.jpg",
        "a\0b",
        "images/..",
        "file://x",
    ],
)
def test_a_path_that_leaves_the_folder_is_refused(path, tmp_path):
    assert path_escapes(path)
    for column in ("path", "mask_path"):
        bad = table(changed(balanced_rows(), "train-White-Male-000", **{column: path}))
        assert "path-escapes" in codes(check_table(bad))
        write_table(bad, tmp_path / "m.parquet")
        with pytest.raises(DataError, match="train-White-Male-000"):
            read_manifest(tmp_path / "m.parquet")


@pytest.mark.parametrize("path", ["a.jpg", "images/a b.jpg", "images/..a.jpg", "x/y/z.png", "é.png"])
def test_a_plain_path_is_accepted(path):
    assert not path_escapes(path)


@pytest.mark.parametrize("keep", [0, 3, 100, 0.5, -1])
def test_a_truncated_file_is_named(tmp_path, keep):
    path = tmp_path / "m.parquet"
    write_manifest(table(balanced_rows()), path)
    data = path.read_bytes()
    path.write_bytes(data[: int(len(data) * keep) if isinstance(keep, float) else keep])
    with pytest.raises(DataError, match="not a readable parquet"):
        read_manifest(path)


def test_damage_in_the_middle_is_named(tmp_path):
    path = tmp_path / "m.parquet"
    write_manifest(table(balanced_rows(per_cell=20)), path)
    data = bytearray(path.read_bytes())
    data[200:400] = bytes(200)
    path.write_bytes(data)
    with pytest.raises(DataError):
        read_manifest(path)


def test_a_missing_file_is_missing(tmp_path):
    with pytest.raises(MissingError, match="not there"):
        read_manifest(tmp_path / "none.parquet")


@pytest.mark.parametrize("version", ["2", "999", "0", "", "-1", "one"])
def test_another_schema_version_is_refused(tmp_path, version):
    made = table(balanced_rows())
    write_table(made.replace_schema_metadata({"fairforge.schema_version": version}), tmp_path / "m.parquet")
    with pytest.raises(DataError, match="schema version"):
        read_manifest(tmp_path / "m.parquet")


def test_any_parquet_without_a_version_is_no_manifest(tmp_path):
    pq.write_table(pa.table({"a": [1]}), tmp_path / "m.parquet")
    with pytest.raises(DataError, match="schema version"):
        read_manifest(tmp_path / "m.parquet")


def test_missing_columns_and_other_types_are_all_listed():
    made = table(balanced_rows()).drop_columns(["split", "codec"])
    made = made.set_column(made.column_names.index("label"), "label", made.column("label").cast(pa.int64()))
    found = check_table(made)
    assert codes(found) == {"missing-column", "column-type"}
    assert len(found) == 2
    assert "split, codec" in str(found[0])


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"label": 1}, "real-method"),
        ({"method": "swap-a"}, "real-method"),
        ({"family": "swap"}, "real-method"),
        ({"family": "magic"}, "bad-family"),
        ({"split": "dev"}, "bad-split"),
        ({"target_id": "nobody"}, "dangling-target"),
    ],
)
def test_wrong_rows_are_found(changes, code):
    found = check_table(table(changed(balanced_rows(), "train-White-Male-000", **changes)))
    assert code in codes(found)
    finding = next(f for f in found if f.code == code)
    assert finding.count == 1
    assert finding.ids == ("train-White-Male-000",)


def test_an_id_twice_is_found():
    rows = balanced_rows()
    assert codes(check_table(table([*rows, rows[0]]))) == {"duplicate-id"}


def test_unsorted_rows_are_found():
    made = table(balanced_rows())
    assert codes(check_table(made.take(list(range(made.num_rows))[::-1]))) == {"unsorted"}


def test_a_cell_outside_the_taxonomy_is_found():
    rows = changed(balanced_rows(), "train-White-Male-000", cell="Martian/Male")
    assert codes(check_table(table(rows, "fairface4"))) == {"bad-cell"}
    assert not check_table(table(rows))


def test_a_broken_table_is_not_written_and_the_old_file_stays(tmp_path):
    path = tmp_path / "m.parquet"
    write_manifest(table(balanced_rows()), path)
    before = path.read_bytes()
    with pytest.raises(DataError, match="path-escapes"):
        write_manifest(table([record("a", path="../a")]), path)
    assert path.read_bytes() == before


def test_a_full_disk_keeps_the_old_file(tmp_path, monkeypatch):
    path = tmp_path / "m.parquet"
    write_manifest(table(balanced_rows()), path)
    before = path.read_bytes()

    def full(_fd):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(atomic, "_fsync", full)
    with pytest.raises(PartialError, match="disk is full"):
        write_manifest(table(balanced_rows(per_cell=3)), path)
    assert path.read_bytes() == before
    assert [p.name for p in tmp_path.iterdir()] == ["m.parquet"]


def test_validate_finds_missing_and_changed_files(tmp_path):
    made = drawn_set(tmp_path, per_cell=1)
    assert validate(tmp_path) == []
    first, second = made.column("path").to_pylist()[:2]
    (tmp_path / first).unlink()
    (tmp_path / second).write_bytes((tmp_path / second).read_bytes() + b"x")
    assert codes(validate(tmp_path)) == {"missing-file", "changed-file"}
    assert codes(validate(tmp_path, digests=False)) == {"missing-file"}


def test_an_empty_manifest_goes_through(tmp_path):
    write_manifest(table([]), tmp_path / "m.parquet")
    assert read_manifest(tmp_path / "m.parquet").num_rows == 0
    assert read_table(tmp_path / "m.parquet").num_rows == 0


def test_pieces_give_the_bytes_of_the_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(store, "GROUP", 16)
    whole = pa.table({"a": [f"name {n % 7}" for n in range(100)], "w": [[float(n)] * 5 for n in range(100)]})
    write_table(whole, tmp_path / "whole.parquet")
    write_pieces(slices(whole, 16), whole.schema, tmp_path / "pieces.parquet")
    assert (tmp_path / "pieces.parquet").read_bytes() == (tmp_path / "whole.parquet").read_bytes()


@pytest.mark.parametrize("count", [0, 60])
def test_rows_in_any_order_are_written_sorted_a_group_at_a_time(
    count: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    rows = balanced_rows()[:count]
    write_manifest(table(rows), tmp_path / "sorted.parquet")
    monkeypatch.setattr(store, "GROUP", 16)
    mixed = table(rows).take(np.random.default_rng(0).permutation(len(rows))).combine_chunks()
    write_table(table(rows), tmp_path / "whole.parquet")
    write_manifest(mixed, tmp_path / "mixed.parquet", pc.sort_indices(mixed["image_id"]))
    assert (tmp_path / "mixed.parquet").read_bytes() == (tmp_path / "whole.parquet").read_bytes()
    assert read_manifest(tmp_path / "mixed.parquet").equals(read_manifest(tmp_path / "sorted.parquet"))


def test_rows_that_break_the_schema_are_found_in_any_order(tmp_path: Path):
    rows = balanced_rows()
    twice = table([*rows, rows[5]]).take(np.random.default_rng(0).permutation(len(rows) + 1)).combine_chunks()
    with pytest.raises(DataError, match=rf"image_id is not unique.*{rows[5].image_id}"):
        write_manifest(twice, tmp_path / "m.parquet", pc.sort_indices(twice["image_id"]))
    some = table(rows)
    with pytest.raises(DataError, match="not sorted"):
        write_manifest(some, tmp_path / "m.parquet", pc.sort_indices(some["image_id"])[::-1])


def test_some_rows_are_read_without_the_others(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    table = pa.table(
        {"a": list(range(100)), "b": [[n, n] for n in range(100)], "w": [[float(n)] * 50 for n in range(100)]}
    )
    write_table(table, tmp_path / "t.parquet", group=16)
    seen = []
    plain = pq.ParquetFile.read_row_groups

    def watched(file, groups, columns):
        seen.append((list(groups), list(columns)))
        return plain(file, groups, columns=columns)

    monkeypatch.setattr(pq.ParquetFile, "read_row_groups", watched)
    assert row_count(tmp_path / "t.parquet") == 100
    for start, stop, groups in (
        (0, 16, [0]),
        (15, 33, [0, 1, 2]),
        (96, 100, [6]),
        (90, 200, [5, 6]),
        (100, 100, []),
    ):
        found = read_rows(tmp_path / "t.parquet", start, stop, ("b", "a", "none"))
        assert found == table.select(["a", "b"]).slice(start, stop - start)
        assert seen[-1] == (groups, ["a", "b"])
