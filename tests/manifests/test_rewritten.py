"""Manifests that another program filtered and wrote back: read where nothing is lost, else refused with an
example.
"""

import ast
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from manifests import read_manifest, validate, write_manifest
from manifests.atomic import digest_bytes, write_bytes
from manifests.casting import fit, plain, taxonomies_of
from manifests.errors import DataError, DataWarning
from manifests.images import encode
from manifests.schema import SCHEMA, metadata_of
from manifests.store import column_names, read_batches, read_table
from tests.manifests.manifest_rows import balanced_rows, record, table

ROOT = Path(__file__).parents[2]
META = {"fairforge.schema_version": "1", "fairforge.taxonomy": "fairface4"}
TEXT = {
    "large_string": pa.large_string(),
    "dictionary": pa.dictionary(pa.int32(), pa.string()),
    "large_dictionary": pa.dictionary(pa.int8(), pa.large_string()),
    **({"string_view": pa.string_view()} if hasattr(pa, "string_view") else {}),
}
NUMBERS = {"int64": pa.int64(), "float64": pa.float64(), "uint16": pa.uint16()}


@pytest.fixture(scope="module")
def made():
    rows = balanced_rows()
    rows += [record("a", landmarks=[1.5, 2.5], race_prob=0.25, quality=None, seed=2**40, psi=0.5)]
    return table(rows, taxonomy="fairface4").replace_schema_metadata(META)


def changed(made, kinds, meta=META):
    """The table with columns in other types, through a file: what another program leaves."""
    for name, kind in kinds.items():
        made = made.set_column(made.column_names.index(name), name, made[name].cast(kind))
    return made.replace_schema_metadata(meta)


def written(made, path):
    pq.write_table(made, path)
    return path


@pytest.mark.parametrize("name", TEXT)
def test_text_in_any_encoding_is_read_as_it_was(made, tmp_path, name):
    kinds = {field.name: TEXT[name] for field in SCHEMA if field.type == pa.string()}
    path = written(changed(made, kinds), tmp_path / "m.parquet")
    back = read_manifest(path)
    assert back.equals(made.cast(SCHEMA.with_metadata(META)))
    assert back.schema.equals(SCHEMA)
    assert {f.code for f in validate(path)} == {"missing-file"}


@pytest.mark.parametrize("name", NUMBERS)
def test_whole_numbers_in_any_type_are_read_as_they_were(made, tmp_path, name):
    kinds = dict.fromkeys(("label", "width", "height", "quality"), NUMBERS[name])
    back = read_manifest(written(changed(made, kinds), tmp_path / "m.parquet"))
    assert back.equals(made.cast(SCHEMA.with_metadata(META)))


def test_lists_floats_and_truth_values(made, tmp_path):
    kinds = {
        "landmarks": pa.large_list(pa.float64()),
        "psi": pa.float64(),
        "race_prob": pa.float64(),
        "label": pa.bool_(),
    }
    assert read_manifest(written(changed(made, kinds), tmp_path / "m.parquet")).equals(
        made.cast(SCHEMA.with_metadata(META))
    )


def test_pandas_filters_and_writes_it_back(made, tmp_path):
    """Through pandas itself: metadata lost, NaN for null, an index column, object or str columns."""
    frame = made.to_pandas()
    frame = frame[frame["split"] == "train"]
    frame.index = frame.index + 7
    frame.to_parquet(tmp_path / "m.parquet", index=True)
    assert any("__index" in name for name in column_names(tmp_path / "m.parquet"))
    with pytest.warns(DataWarning, match="metadata are lost.*taxonomy fairface4"):
        back = read_manifest(tmp_path / "m.parquet")
    assert back.column_names == SCHEMA.names
    assert back.to_pylist() == [row for row in made.to_pylist() if row["split"] == "train"]
    assert metadata_of(back) == {"schema_version": "1", "taxonomy": "fairface4"}


@pytest.mark.parametrize(
    ("column", "values", "words"),
    [
        ("quality", [1.5], "quality is double, not int32 (e.g. 1.5)"),
        ("label", [300], "label is int64, not int8 (e.g. 300)"),
        ("identity_id", [12], "identity_id is int64, not string (e.g. 12)"),
        ("psi", [1e300], "psi is double, not float (e.g. 1e+300)"),
        ("seed", [2.0**70], "seed is double, not int64"),
        ("race_prob", ["high"], "race_prob is string, not float"),
        ("landmarks", [["x"]], "landmarks is list<"),
        ("race", [{"a": 1}], "race is struct<"),
        ("width", [np.datetime64("2020-01-01", "s")], "width is timestamp["),
    ],
)
def test_a_cast_that_would_change_a_value_is_an_error_with_an_example(made, tmp_path, column, values, words):
    odd = pa.array(values * made.num_rows)
    bad = made.set_column(made.column_names.index(column), column, odd)
    path = written(bad, tmp_path / "m.parquet")
    with pytest.raises(DataError) as error:
        read_manifest(path)
    assert words in str(error.value)
    assert "column-type" in {finding.code for finding in validate(path)}
    assert len(str(error.value)) < 400


def test_every_column_has_a_lossless_and_a_lossy_stranger(made):
    """Walks the schema: no column may be cast from a value that it cannot hold."""
    for field in SCHEMA:
        if pa.types.is_list(field.type):
            good, bad = pa.array([[1.0]], pa.large_list(pa.float64())), pa.array([["x"]])
        elif pa.types.is_string(field.type):
            good, bad = pa.array(["x"], pa.large_string()), pa.array([12])
        else:
            good, bad = pa.array([1.0]), pa.array([1e300])
        for values, fits in ((good, True), (bad, False), (pa.nulls(1), True)):
            assert (
                fit(plain(pa.table({field.name: values})), SCHEMA).schema.field(0).type == field.type
            ) is fits, field.name


@pytest.mark.parametrize(
    ("cells", "expected"),
    [
        ([("White", "Male"), ("Black", "Female")], ["fairface4", "fairface7"]),
        ([("Asian", "Male")], ["fairface4"]),
        ([("East Asian", "Male")], ["fairface7"]),
        ([("others", "Male")], ["ffpp"]),
        ([("medium", "Male")], ["monk3"]),
        ([("purple", "Male")], []),
        ([(None, None)], []),
    ],
)
def test_a_lost_taxonomy_is_the_one_that_has_all_cells(tmp_path, cells, expected):
    rows = [
        record(f"r{k}", race=race, gender=gender, cell=race and f"{race}/{gender}")
        for k, (race, gender) in enumerate(cells)
    ]
    bare = table(rows).replace_schema_metadata(None)
    assert taxonomies_of(bare) == expected
    with pytest.warns(DataWarning) as caught:
        back = read_manifest(written(bare, tmp_path / "m.parquet"))
    assert len(caught) == 1
    assert metadata_of(back).get("taxonomy") == (expected[0] if expected else None)
    assert all(name in str(caught[0].message) for name in expected)


@pytest.mark.parametrize("text", ["[]", "{", '{"train": 3}', '{"train": {"White/Male": "x"}}', "[" * 100_000])
def test_metadata_that_cannot_be_read_are_a_finding(made, tmp_path, text):
    odd = made.replace_schema_metadata({**META, "fairforge.plan": text, b"fairforge.creators": b"\xff"})
    with pytest.raises(DataError, match=r"bad-metadata: fairforge\.plan"):
        read_manifest(written(odd, tmp_path / "m.parquet"))


def test_text_that_is_not_utf8_is_an_error(made, tmp_path):
    raw = pa.StringArray.from_buffers(1, pa.py_buffer(np.array([0, 1], np.int32)), pa.py_buffer(b"\xff"))
    path = written(pa.table({"file": raw}), tmp_path / "t.parquet")
    with pytest.raises(DataError, match="UTF8"):
        read_table(path)
    with pytest.raises(DataError, match="UTF8"):
        list(read_batches(path, ["file"]))


def test_nothing_else_opens_a_parquet_file():
    """Whatever reads parquet goes through the store, which checks and casts."""
    opening = {"ParquetFile", "read_table", "ParquetDataset", "read_schema", "read_metadata", "read_pandas"}
    found = []
    for folder in ("manifests", "generators", "attribute_models", "detector", "pipeline"):
        for path in (ROOT / folder).rglob("*.py"):
            for node in ast.walk(ast.parse(path.read_text())):
                if (
                    isinstance(node, ast.Attribute)
                    and isinstance(node.value, ast.Name)
                    and node.attr in opening
                ):
                    found.append((path.relative_to(ROOT).as_posix(), f"{node.value.id}.{node.attr}"))
    assert set(found) == {("manifests/store.py", "pq.ParquetFile")}


def test_a_manifest_of_ours_is_written_and_read_without_a_word(made, tmp_path):
    write_manifest(made.cast(SCHEMA.with_metadata(META)), tmp_path / "m.parquet")
    assert read_manifest(tmp_path / "m.parquet").equals(made.cast(SCHEMA.with_metadata(META)))
    assert isinstance(made.to_pandas(), pd.DataFrame)


def test_the_command_line_says_once_that_metadata_were_lost(tmp_path, capsys):
    """Through `export`, which reads the manifest; and a manifest with its metadata says nothing."""
    from pipeline.__main__ import main

    for name, meta in (("lost", None), ("whole", META)):
        folder = tmp_path / name
        picture = encode(np.zeros((8, 8, 3), np.uint8), "png", None)
        bare = table(
            [record("a", path="a.png", sha256=digest_bytes(picture))], taxonomy="fairface4"
        ).replace_schema_metadata(meta)
        write_bytes(folder / "a.png", picture)
        pq.write_table(bare, folder / "manifest.parquet")
        assert main(["export", "imagefolder", str(folder), "--out", str(tmp_path / f"out-{name}")]) == 0
        said = [line for line in capsys.readouterr().err.splitlines() if line.startswith("warning: ")]
        assert len(said) == (meta is None)
        assert all("its metadata are lost" in line and ".py:" not in line for line in said)
