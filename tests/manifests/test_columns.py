"""Columns of a table as values."""

import pyarrow as pa
import pytest

from manifests.columns import pieces, texts_of


@pytest.mark.parametrize("values", [[], [None], ["b", "a", None, "b"], ["é", "", "é"]])
def test_texts_are_those_of_the_column_and_equal_ones_are_one(values):
    column = pa.chunked_array([pa.array(values[:1], pa.string()), pa.array(values[1:], pa.string())])
    found = texts_of(column)
    assert found == column.to_pylist()
    assert len({id(value) for value in found}) == len(set(values))


def test_pieces_are_the_column():
    column = pa.array(list("abcde"))
    assert [part.to_pylist() for part in pieces(column, 2)] == [["a", "b"], ["c", "d"], ["e"]]
