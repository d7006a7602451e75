"""Manifests on disk: parquet in, parquet out, atomically, the same bytes for the same rows."""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from manifests.atomic import atomic_path
from manifests.casting import fit, holds, plain, taxonomies_of
from manifests.clip_columns import image_rows
from manifests.errors import DataError, DataWarning, MissingError
from manifests.records import ImageRecord
from manifests.schema import (
    CHECKED,
    LATER,
    SCHEMA,
    SCHEMA_VERSION,
    Finding,
    check_files,
    check_table,
    metadata_of,
    with_later_columns,
)
from manifests.text_files import match_columns

GROUP = 131_072
"""Rows of a row group: what the writer holds encoded at one time."""
REASON = 300
"""Characters of another library's message, or of a list of names, that an error repeats."""
_WRITE = {"compression": "zstd", "version": "2.6", "write_statistics": True}


def table_of(
    records: Iterable[ImageRecord], *, taxonomy: str, metadata: Mapping[str, str] | None = None
) -> pa.Table:
    """Records as a manifest table, sorted by `image_id`, with schema version and taxonomy in its metadata."""
    rows = sorted((r.model_dump() for r in records), key=lambda row: str(row["image_id"]))
    meta = {"schema_version": str(SCHEMA_VERSION), "taxonomy": taxonomy, **(metadata or {})}
    encoded = {f"fairforge.{k}".encode(): v.encode() for k, v in sorted(meta.items())}
    return pa.Table.from_pylist(rows, schema=SCHEMA.with_metadata(encoded))


def write_table(table: pa.Table, path: Path | str, group: int | None = None) -> None:
    """Write any table as parquet, atomically; the same table gives the same bytes.

    Args:
        table: the rows.
        path: the file.
        group: rows of a row group, for files of which parts are read (`read_rows`); None: `GROUP`.

    Raises:
        PartialError: the disk is full. UsageError: the folder cannot be written.
    """
    with atomic_path(path) as temporary:
        pq.write_table(table, temporary, row_group_size=group or GROUP, **_WRITE)


def write_pieces(pieces: Iterable[pa.Table], schema: pa.Schema, path: Path | str) -> None:
    """Write tables of this schema one after another as parquet: of `GROUP` rows each but the last, they give
    the bytes that `write_table` gives of the whole. Errors as there.
    """
    with atomic_path(path) as temporary, pq.ParquetWriter(temporary, schema, **_WRITE) as writer:
        for piece in pieces:
            writer.write_table(piece, row_group_size=GROUP)


@contextmanager
def _parquet(path: Path) -> Iterator[pq.ParquetFile]:
    """An open parquet file; whatever pyarrow finds wrong with it, also while it is read, is a DataError."""
    if not path.is_file():
        raise MissingError(str(path), "is not there", "check the path, or run the stage that writes it")
    try:
        # ParquetFile: pq.read_table would read partition columns out of folder names such as `a=b/`.
        with pq.ParquetFile(path) as file:
            names = file.schema_arrow.names
            twice = next((name for name in names if names.count(name) > 1), None)
            if twice is not None:
                raise DataError(
                    str(path), f"has the column {twice!r:.80} {names.count(twice)} times", "leave one of them"
                )
            yield file
    except (pa.ArrowException, OSError, UnicodeDecodeError) as error:
        why = f"is not a readable parquet file ({str(error)[:REASON]})"
        raise DataError(str(path), why, "make or fetch it again") from error


def _checked(table: pa.Table) -> pa.Table:
    """The table in plain encodings, its offsets and UTF-8 checked: a broken file may pass pyarrow's
    reader.
    """
    table.validate(full=True)
    return plain(table)


def _read(file: pq.ParquetFile, columns: Sequence[str] | None = None) -> pa.Table:
    """All rows of some columns or of all, `GROUP` of them or a row group at a time: what a column takes until
    it is decoded is then small, and used again for the next.
    """
    groups: list[list[int]] = [[]]
    held = 0
    for number in range(file.metadata.num_row_groups):
        rows = file.metadata.row_group(number).num_rows
        if held and held + rows > GROUP:
            groups.append([])
            held = 0
        groups[-1].append(number)
        held += rows
    return pa.concat_tables([file.read_row_groups(some, columns=columns) for some in groups])


def read_table(path: Path | str, needed: Sequence[str] = ()) -> pa.Table:
    """Read any parquet file, in the plain encodings of `manifests.casting.plain`.

    Args:
        path: the file.
        needed: columns that must be there, in any case; the table has them under these names.

    Raises:
        MissingError: no such file.
        DataError: not parquet, truncated, or a column is missing, stands twice or is of another kind.
    """
    with _parquet(Path(path)) as file:
        places = _places(Path(path), file.schema_arrow, needed)
        named = {place: name for name, place in places.items()}
        table = _read(file)
        renamed = table.rename_columns([named.get(name, name) for name in table.column_names])
        return _checked(renamed.replace_schema_metadata(table.schema.metadata))


def read_columns(path: Path | str, columns: Sequence[str]) -> pa.Table:
    """Some columns of a parquet file that this project wrote. Errors as `read_table`."""
    with _parquet(Path(path)) as file:
        return _checked(_read(file, list(columns)))


def row_count(path: Path | str) -> int:
    """How many rows a parquet file has; none is read. Errors as `read_table`."""
    with _parquet(Path(path)) as file:
        return int(file.metadata.num_rows)


def read_rows(path: Path | str, start: int, stop: int, columns: Sequence[str]) -> pa.Table:
    """Rows `start` to `stop` of a parquet file that this project wrote; row groups and columns beside them
    are not read.

    Args:
        path: the file.
        start: the first row.
        stop: behind the last row.
        columns: those wanted, in the order of the file; one that it lacks is left out.

    Raises:
        MissingError: no such file. DataError: not parquet, or truncated.
    """
    with _parquet(Path(path)) as file:
        names = [name for name in file.schema_arrow.names if name in columns]
        ends = [0]
        for number in range(file.metadata.num_row_groups):
            ends.append(ends[-1] + file.metadata.row_group(number).num_rows)
        groups = [k for k in range(len(ends) - 1) if ends[k] < stop and ends[k + 1] > start]
        first = ends[groups[0]] if groups else start
        return _checked(file.read_row_groups(groups, columns=names)).slice(start - first, stop - start)


def read_batches(
    path: Path | str,
    needed: Sequence[str],
    optional: Sequence[str] = (),
    size: int = 256,
) -> Iterator[pa.Table]:
    """A parquet file as tables of up to `size` rows: the columns needed, and those of `optional` that it has.

    Errors as `read_table`.
    """
    with _parquet(Path(path)) as file:
        places = _places(Path(path), file.schema_arrow, needed, optional)
        for batch in file.iter_batches(batch_size=size, columns=list(places.values())):
            yield _checked(pa.table({name: batch.column(place) for name, place in places.items()}))


def column_names(path: Path | str, needed: Sequence[str] = ()) -> list[str]:
    """The columns of a parquet file, without reading its rows, those needed as they are asked for. Errors as
    `read_table`.
    """
    with _parquet(Path(path)) as file:
        named = {place: name for name, place in _places(Path(path), file.schema_arrow, needed).items()}
        return [named.get(name, name) for name in file.schema_arrow.names]


def _places(
    path: Path, schema: pa.Schema, needed: Sequence[str], optional: Sequence[str] = ()
) -> dict[str, str]:
    """The file's own name of each column that is asked for, found in any case; all must hold what their names
    say.
    """
    try:
        found = match_columns([name.strip() for name in schema.names], dict.fromkeys((*needed, *optional)))
    except ValueError as error:
        raise DataError(str(path), str(error), "leave one of them") from error
    lacking = [name for name in needed if name not in found]
    if lacking:
        why = f"lacks the columns {', '.join(lacking)}; it has: {', '.join(schema.names)[:REASON]}"
        raise DataError(str(path), why, f"it needs: {', '.join(needed)}")
    odd = [
        f"{name} is {schema.field(place).type}"
        for name, place in found.items()
        if not holds(name, schema.field(place).type)
    ]
    if odd:
        raise DataError(
            str(path),
            f"has columns of another kind: {', '.join(odd)[:REASON]}",
            "write them as they were read",
        )
    return {name: schema.field(place).name for name, place in found.items()}


def write_manifest(table: pa.Table, path: Path | str, order: pa.Array | None = None) -> None:
    """Write a manifest after checking its rows.

    Args:
        table: its rows, each column in one piece where there is an `order`.
        path: the file.
        order: the places of the rows as they are to be written, a group of them at a time: a sorted copy of
            the whole would take its memory once more. None: as they are.

    Raises:
        DataError: the table breaks the schema; every finding is listed.
    """
    ids = table["image_id"] if order is None else table["image_id"].take(order)
    found = check_table(table, ids=ids)
    if found:
        raise DataError(str(path), "; ".join(map(str, found)), "mend the rows before writing the manifest")
    if order is None:
        write_table(table, path)
    else:
        pieces = (table.take(order.slice(at, GROUP)) for at in range(0, max(len(order), 1), GROUP))
        write_pieces(pieces, table.schema, path)


def read_manifest(path: Path | str, columns: Iterable[str] | None = None) -> pa.Table:
    """Read a manifest and check its rows (not its files: see `validate`).

    A manifest that another program wrote back is cast to the schema where nothing is lost. Where its metadata
    are gone, version and taxonomy are inferred, and a `DataWarning` says so.

    Args:
        path: of the file, or its folder.
        columns: of the schema, wanted beside those of `CHECKED`; the table may lack others. None: all.

    Returns:
        A table of `manifests.schema.SCHEMA`, sorted by `image_id`; version and taxonomy in its metadata.

    Raises:
        MissingError: no such file. DataError: not parquet, a newer schema, or rows that break it (a path that
        leaves the manifest's folder among them).
    """
    path = manifest_file(path)
    some = None if columns is None else _enough(path, columns)
    table = _with_metadata(fit(read_table(path) if some is None else read_columns(path, some), SCHEMA), path)
    found = check_table(table, SCHEMA.names if some is None else some)
    if found:
        raise DataError(str(path), "; ".join(map(str, found)), "mend the manifest, or make it again")
    return with_later_columns(table)


def _enough(path: Path, columns: Iterable[str]) -> list[str] | None:
    """The columns of a manifest that have to be read; None where all have to, since it lacks its metadata or
    has not every column in the schema's type.
    """
    with _parquet(path) as file:
        there = file.schema_arrow
    types = {field.name: field.type for field in there}
    as_written = all(types.get(field.name) == field.type for field in SCHEMA if field.name in types)
    whole = {*SCHEMA.names} - {*LATER} <= {*types}
    if not (as_written and whole and b"fairforge.schema_version" in (there.metadata or {})):
        return None
    wanted = {*CHECKED, *columns}
    return [name for name in there.names if name in wanted]


def read_images(path: Path | str) -> pa.Table:
    """`read_manifest` without its clips: what everything that looks at single pictures reads.

    Raises:
        As `read_manifest`; DataError also where there is a clip and no image.
    """
    table = read_manifest(path)
    images = image_rows(table)
    if table.num_rows and not images.num_rows:
        raise DataError(
            str(path), "holds clips alone, and images are needed", "use `fairforge av`, or import its frames"
        )
    return images


def _with_metadata(table: pa.Table, path: Path) -> pa.Table:
    """The table with a version that this program reads; where it has none but is a manifest by its columns,
    with what it fits.
    """
    version = metadata_of(table).get("schema_version")
    if version is None and {*SCHEMA.names} - {*LATER} <= {*table.column_names}:
        fits = taxonomies_of(table)
        told = (
            f"taxonomy {fits[0]}, which has all its cells"
            if fits
            else "no taxonomy, since none has all its cells"
        )
        others = f" ({', '.join(fits[1:])} would do too)" if fits[1:] else ""
        warnings.warn(
            f"{path}: its metadata are lost, as when pandas or polars writes it back; it is read as version"
            f" {SCHEMA_VERSION} with {told}{others}",
            DataWarning,
            stacklevel=3,
        )
        meta = {
            "fairforge.schema_version": str(SCHEMA_VERSION),
            **({"fairforge.taxonomy": fits[0]} if fits else {}),
        }
        return table.replace_schema_metadata(meta)
    if version is None:
        lacking = [name for name in SCHEMA.names if name not in table.column_names]
        why = (
            f"is no manifest: it has no schema version, and lacks {len(lacking)} of its columns"
            f" ({', '.join(lacking[:3])}, ...)"
        )
        raise DataError(str(path), why, "make one with `fairforge pair` or `fairforge import`")
    if not version.isdecimal() or not 0 < int(version[:9]) <= SCHEMA_VERSION:
        raise DataError(
            str(path),
            f"has manifest schema version {version!r:.40}, this program reads 1 to {SCHEMA_VERSION}",
            "make the manifest with `fairforge pair` or `fairforge import`, or update fairforge",
        )
    return table


def manifest_file(path: Path | str) -> Path:
    """`path` itself, or `manifest.parquet` in it when it is a folder."""
    path = Path(path)
    return path / "manifest.parquet" if path.is_dir() else path


def validate(path: Path | str, *, digests: bool = True) -> list[Finding]:
    """All findings about a manifest and its files; empty when all is well.

    Raises:
        MissingError, DataError: the file cannot be read at all.
    """
    path = manifest_file(path)
    table = fit(read_table(path), SCHEMA)
    found = check_table(table)
    return found or check_files(table, path.parent, digests=digests)
