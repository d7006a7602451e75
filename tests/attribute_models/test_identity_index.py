"""The index answers as a plain loop does, at any block size; files round-trip; wrong input is refused."""

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from sklearn.neighbors import NearestNeighbors

from attribute_models.identity.index import IdentityIndex
from manifests.errors import DataError, MissingError, UsageError


def unit(seed, n, dim=128):
    rows = np.random.default_rng(seed).normal(size=(n, dim))
    return (1.4 * rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)


def filled(rows, block=64):
    index = IdentityIndex(rows.shape[1], block=block)
    index.add_many(rows, [f"face-{i}" for i in range(len(rows))])
    return index


@pytest.mark.parametrize("block", [1, 7, 64, 4096])
def test_nearest_is_bit_for_bit_that_of_a_loop(block):
    rows, queries = unit(0, 200), unit(1, 300)
    queries[:50] = rows[:50] + np.random.default_rng(2).normal(0, 1e-4, (50, 128)).astype(np.float32)
    distances, positions = filled(rows, block).nearest_many(queries)
    for query, distance, position in zip(queries, distances, positions, strict=True):
        every = np.linalg.norm(rows - query, axis=1)
        assert distance == every.min()
        assert position == every.argmin()


def test_nearest_agrees_with_scikit_learn():
    rows, queries = unit(3, 500), unit(4, 40)
    expected, at = (
        NearestNeighbors(n_neighbors=1).fit(rows.astype(np.float64)).kneighbors(queries.astype(np.float64))
    )
    distances, positions = filled(rows).nearest_many(queries)
    assert distances == pytest.approx(expected[:, 0], rel=1e-5)
    assert positions.tolist() == at[:, 0].tolist()


def test_growing_one_by_one_and_among_equals_the_first():
    index = IdentityIndex(4, block=2)
    assert index.nearest(np.zeros(4)) == (np.inf, None)
    for i, x in enumerate([3.0, 1.0, 1.0, 0.5, 1.0]):
        index.add(np.array([x, 0, 0, 0]), f"f{i}")
        assert len(index) == i + 1
    assert index.nearest(np.array([1.0, 0, 0, 0])) == (0.0, "f1")
    assert index.nearest(np.zeros(4)) == (0.5, "f3")


def test_many_equal_faces_do_not_hide_the_first():
    rows = np.repeat(unit(5, 1), 700, axis=0)
    distances, positions = filled(rows, 256).nearest_many(np.repeat(rows[:1], 300, axis=0))
    assert not distances.any()
    assert not positions.any()


def test_files_round_trip_and_are_the_same_bytes(tmp_path):
    rows = unit(6, 150)
    index = IdentityIndex(128, block=32, model="m", model_sha256="abc")
    index.add_many(rows, [str(i) for i in range(150)])
    index.save(tmp_path / "a.index")
    loaded = IdentityIndex.load(tmp_path / "a.index", block=64)
    assert (loaded.model, loaded.model_sha256, loaded.ids) == ("m", "abc", index.ids)
    assert (loaded.embeddings() == rows).all()
    loaded.save(tmp_path / "b.index")
    assert (tmp_path / "a.index").read_bytes() == (tmp_path / "b.index").read_bytes()
    IdentityIndex(128).save(tmp_path / "empty.index")
    assert len(IdentityIndex.load(tmp_path / "empty.index")) == 0


def test_files_that_are_no_index(tmp_path):
    with pytest.raises(MissingError):
        IdentityIndex.load(tmp_path / "none.index")
    pq.write_table(pa.table({"id": ["a"]}), tmp_path / "other.index")
    with pytest.raises(DataError, match="not an index"):
        IdentityIndex.load(tmp_path / "other.index")
    filled(unit(7, 100)).save(tmp_path / "cut.index")
    (tmp_path / "cut.index").write_bytes((tmp_path / "cut.index").read_bytes()[:-40])
    with pytest.raises(DataError, match="not a readable parquet"):
        IdentityIndex.load(tmp_path / "cut.index")


def test_wrong_embeddings_are_refused_and_leave_the_index_as_it_was():
    index = filled(unit(8, 10))
    for wrong in (np.zeros(64), np.full(128, np.nan)):
        with pytest.raises(UsageError):
            index.add(wrong, "x")
        with pytest.raises(UsageError):
            index.nearest(wrong)
    with pytest.raises(UsageError):
        index.add_many(unit(9, 2), ["one"])
    assert len(index) == 10
    with pytest.raises(UsageError):
        IdentityIndex(0)
