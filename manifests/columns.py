"""Tables with a million rows without a million dictionaries: rows in pieces, counts and look-ups by column.

A row as a dictionary takes about 2 KB, and its landmarks 10 KB more; a piece at a time takes nothing.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

PIECE = 16_384
"""Rows that are Python objects at one time."""
Places = npt.NDArray[np.int64]


def slices(table: pa.Table, size: int = PIECE) -> Iterator[pa.Table]:
    """The table in pieces of `size` rows, in order; nothing is copied."""
    for start in range(0, table.num_rows, size):
        yield table.slice(start, size)


def pieces(column: pa.Array, size: int = PIECE) -> Iterator[pa.Array]:
    """A column in pieces of `size` rows, in order; nothing is copied."""
    for start in range(0, len(column), size):
        yield column.slice(start, size)


def rows_of(table: pa.Table, columns: Sequence[str], size: int = PIECE) -> Iterator[dict[str, Any]]:
    """`table.select(columns).to_pylist()`, of which `size` rows are held at a time."""
    for part in slices(table.select(list(columns)), size):
        yield from part.to_pylist()


def distinct(column: pa.ChunkedArray) -> list[Any]:
    """The values of a column, null among them, each once, in the order of their first rows."""
    return list(pc.unique(column).to_pylist())


def counted(column: pa.ChunkedArray) -> dict[Any, int]:
    """How often each value stands in a column, null among them, in the order of their first rows."""
    return {one["values"]: one["counts"] for one in pc.value_counts(column).to_pylist()}


def pairs_of(table: pa.Table, left: str, right: str) -> set[tuple[Any, Any]]:
    """The different pairs of values in two columns, nulls among them."""
    found = table.select([left, right]).group_by([left, right]).aggregate([])
    return set(zip(found[left].to_pylist(), found[right].to_pylist(), strict=True))


def places_in(column: pa.ChunkedArray, among: pa.ChunkedArray) -> Places:
    """Where each value first stands in `among`: int64 [N]; -1 where it does not, or is null."""
    found = pc.index_in(column, value_set=among.combine_chunks(), skip_nulls=True)
    return np.asarray(pc.fill_null(found, -1).to_numpy(), np.int64)


def codes(column: pa.ChunkedArray) -> Places:
    """A number for each value, the same for the same: int64 [N]; -1 where it is null."""
    encoded = column.combine_chunks().dictionary_encode()
    return np.asarray(pc.fill_null(encoded.indices, -1).to_numpy(zero_copy_only=False), np.int64)


def texts_of(column: pa.ChunkedArray) -> list[str | None]:
    """The values of a column of text, as `to_pylist` gives them; equal ones are one object, so that a million
    rows of a few names take 8 bytes each.
    """
    encoded = column.combine_chunks().dictionary_encode()
    names = np.array([*encoded.dictionary.to_pylist(), None], object)  # the last one is that of null, at -1
    out: list[str | None] = names[np.asarray(pc.fill_null(encoded.indices, -1))].tolist()
    return out


def where(table: pa.Table, mask: npt.NDArray[np.bool_]) -> tuple[int, tuple[str, ...]]:
    """How many rows a mask has, and the ids of the first five."""
    at = np.flatnonzero(mask)
    return len(at), tuple(table.column("image_id").take(pa.array(at[:5])).to_pylist())


def vectors(column: pa.ChunkedArray) -> Iterator[npt.NDArray[np.float32] | None]:
    """The lists of numbers of a column, float32 [D] each without a copy; None where there is none."""
    for chunk in column.chunks:
        values, offsets = chunk.values.to_numpy(zero_copy_only=False), chunk.offsets.to_pylist()
        for known, start, stop in zip(chunk.is_valid().to_pylist(), offsets[:-1], offsets[1:], strict=True):
            yield values[start:stop] if known else None


def with_pieces(table: pa.Table, name: str, pieces: Iterable[Sequence[Any]]) -> pa.Table:
    """`with_values` of values that come in pieces, in one chunk; a piece at a time is Python objects."""
    at = table.column_names.index(name)
    field = table.schema.field(at)
    made = [pa.array(piece, field.type) for piece in pieces]
    return table.set_column(at, field, pa.concat_arrays(made or [pa.array([], field.type)]))


def with_values(table: pa.Table, name: str, values: Sequence[Any]) -> pa.Table:
    """The table with other values in a column, of the same type."""
    at = table.column_names.index(name)
    field = table.schema.field(at)
    return table.set_column(at, field, pa.array(values, field.type))
