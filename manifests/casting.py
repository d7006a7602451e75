"""Tables that another program wrote: columns cast to the types wanted where nothing is lost, metadata
inferred.

pandas 3 and polars write text as large_string or string_view, categories as dictionaries, whole numbers
beside missing ones as floats with NaN, and drop the schema's metadata. What cannot be cast without loss is an
error with an example.
"""

from __future__ import annotations

import pyarrow as pa
import pyarrow.compute as pc

from manifests.taxonomy import TAXONOMIES

_PLAIN = {
    "large_string": pa.string(),
    "string_view": pa.string(),
    "large_binary": pa.binary(),
    "binary_view": pa.binary(),
}
_LISTS = ("list<", "large_list<", "list_view<", "large_list_view<")
LISTS = ("mesh148_x64", "embedding", "landmarks")
"""Columns of annotated parquet that hold a list of numbers."""
DEFAULT_TAXONOMY = "fairface4"
EXAMPLE = 60
"""Characters that an error shows of a value."""


def _plain_type(kind: pa.DataType) -> pa.DataType:
    name = str(kind)
    if name in _PLAIN:
        return _PLAIN[name]
    if pa.types.is_dictionary(kind):
        return _plain_type(kind.value_type)
    if name.startswith(_LISTS):
        return pa.list_(_plain_type(kind.value_type))
    return kind


def holds(name: str, kind: pa.DataType) -> bool:
    """Whether a column of annotated parquet may have this type.

    `image` is bytes, `LISTS` are lists, all others are single values.
    """
    kind = _plain_type(kind)
    if pa.types.is_null(kind):
        return True
    if name == "image":
        return bool(pa.types.is_binary(kind) or pa.types.is_fixed_size_binary(kind))
    if name in LISTS:
        return bool(pa.types.is_list(kind) or pa.types.is_fixed_size_list(kind))
    return not pa.types.is_nested(kind)


def plain(table: pa.Table) -> pa.Table:
    """The table with one encoding for each kind of value: string, binary, list, no dictionaries; values stay.

    Raises:
        pyarrow.ArrowInvalid: a column is too long for its plain encoding.
    """
    for place, field in enumerate(table.schema):
        wanted = _plain_type(field.type)
        if not wanted.equals(field.type):
            table = table.set_column(
                place, pa.field(field.name, wanted, field.nullable), table.column(place).cast(wanted)
            )
    return table


def _without_nan(column: pa.ChunkedArray) -> pa.ChunkedArray:
    """NaN, as which pandas writes what is missing, as null."""
    if not pa.types.is_floating(column.type) or not pc.any(pc.is_nan(column)).as_py():
        return column
    return pc.if_else(pc.is_nan(column), pa.scalar(None, column.type), column)


def _castable(given: pa.DataType, wanted: pa.DataType) -> bool:
    """Whether values of one type may stand for the other's: a number is no text, 0012 may have become 12."""
    if given.equals(wanted) or pa.types.is_null(given):
        return True
    if pa.types.is_list(wanted):
        return (pa.types.is_list(given) or pa.types.is_fixed_size_list(given)) and _castable(
            given.value_type, wanted.value_type
        )
    numeric = pa.types.is_integer(given) or pa.types.is_floating(given) or pa.types.is_boolean(given)
    return numeric and not pa.types.is_string(wanted)


def _cast(column: pa.ChunkedArray, wanted: pa.DataType) -> pa.ChunkedArray | None:
    """The column in the type wanted, None where a value would change; floats may be rounded, but stay
    finite.
    """
    if not _castable(column.type, wanted):
        return None
    try:
        made = column.cast(wanted)
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError):
        return None
    if pa.types.is_floating(wanted) and pc.sum(pc.is_inf(made)).as_py() != pc.sum(pc.is_inf(column)).as_py():
        return None
    return made


def misfit(column: pa.ChunkedArray, wanted: pa.DataType) -> str:
    """The type of a column that is not the one wanted, with the first value that cannot be cast, if any."""
    values = (column.slice(k, 1) for k in range(len(column)))
    bad = next((one[0].as_py() for one in values if one.null_count == 0 and _cast(one, wanted) is None), None)
    return f"{column.type}, not {wanted}" + ("" if bad is None else f" (e.g. {repr(bad)[:EXAMPLE]})")


def fit(table: pa.Table, schema: pa.Schema) -> pa.Table:
    """The table with the columns that `schema` names in the schema's types, where no value changes.

    NaN becomes null in columns of single numbers. A pandas index is dropped.
    """
    index = [name for name in table.column_names if name.startswith("__index_level_")]
    table = table.drop_columns(index) if index else table
    for place, name in enumerate(table.column_names):
        if name not in schema.names:
            continue
        field, column = schema.field(name), _without_nan(table.column(place))
        made = _cast(column, field.type)
        if made is not None:
            table = table.set_column(place, field, made)
    return table


def text_metadata(schema: pa.Schema) -> dict[str, str]:
    """The schema's metadata as text; bytes that are no UTF-8 become U+FFFD."""
    return {
        key.decode(errors="replace"): value.decode(errors="replace")
        for key, value in (schema.metadata or {}).items()
    }


def taxonomies_of(table: pa.Table) -> list[str]:
    """Taxonomies that have every cell and race of the table, the default first; none where no row has a
    cell.
    """
    cells, races = (
        {value for value in pc.unique(table[name]).to_pylist() if value} for name in ("cell", "race")
    )
    fits = [name for name, one in TAXONOMIES.items() if cells <= set(one.cells) and races <= set(one.races)]
    return sorted(fits, key=lambda name: name != DEFAULT_TAXONOMY) if cells else []
