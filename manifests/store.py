"""Manifests on disk: parquet in, parquet out, atomically, the same bytes for the same rows."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from manifests.atomic import atomic_path
from manifests.errors import DataError, MissingError
from manifests.records import ImageRecord
from manifests.schema import SCHEMA, SCHEMA_VERSION, Finding, check_files, check_table, with_later_columns

_WRITE = {"compression": "zstd", "version": "2.6", "write_statistics": True}


def table_of(records: Iterable[ImageRecord], *, taxonomy: str, metadata: Mapping[str, str] | None = None) -> pa.Table:
    """Records as a manifest table, sorted by `image_id`, with schema version and taxonomy in its metadata."""
    rows = sorted((r.model_dump() for r in records), key=lambda row: str(row["image_id"]))
    meta = {"schema_version": str(SCHEMA_VERSION), "taxonomy": taxonomy, **(metadata or {})}
    encoded = {f"fairforge.{k}".encode(): v.encode() for k, v in sorted(meta.items())}
    return pa.Table.from_pylist(rows, schema=SCHEMA.with_metadata(encoded))


def write_table(table: pa.Table, path: Path | str) -> None:
    """Write any table as parquet, atomically; the same table gives the same bytes.

    Raises:
        PartialError: the disk is full. UsageError: the folder cannot be written.
    """
    with atomic_path(path) as temporary:
        pq.write_table(table, temporary, **_WRITE)


def read_table(path: Path | str) -> pa.Table:
    """Read any parquet file.

    Raises:
        MissingError: no such file. DataError: not parquet, or truncated.
    """
    path = Path(path)
    if not path.is_file():
        raise MissingError(str(path), "is not there", "check the path, or run the stage that writes it")
    try:
        # ParquetFile: pq.read_table would read partition columns out of folder names such as `a=b/`.
        return pq.ParquetFile(path).read()
    except (pa.ArrowInvalid, OSError) as error:
        raise DataError(str(path), f"is not a readable parquet file ({error})", "make or fetch it again") from error


def write_manifest(table: pa.Table, path: Path | str) -> None:
    """Write a manifest after checking its rows.

    Raises:
        DataError: the table breaks the schema; every finding is listed.
    """
    found = check_table(table)
    if found:
        raise DataError(str(path), "; ".join(map(str, found)), "mend the rows before writing the manifest")
    write_table(table, path)


def read_manifest(path: Path | str) -> pa.Table:
    """Read a manifest and check its rows (not its files: see `validate`). `path` may be its folder.

    Returns:
        A table of `manifests.schema.SCHEMA`, sorted by `image_id`; version and taxonomy in its metadata.

    Raises:
        MissingError: no such file. DataError: not parquet, a newer schema, or rows that break it (a path that
        leaves the manifest's folder among them).
    """
    path = manifest_file(path)
    table = read_table(path)
    version = (table.schema.metadata or {}).get(b"fairforge.schema_version", b"0").decode()
    if not version.isdigit() or not 0 < int(version) <= SCHEMA_VERSION:
        raise DataError(
            str(path), f"has manifest schema version {version!r}, this program reads 1 to {SCHEMA_VERSION}",
            "make the manifest with `fairforge pair` or `fairforge import`, or update fairforge",
        )
    found = check_table(table)
    if found:
        raise DataError(str(path), "; ".join(map(str, found)), "mend the manifest, or make it again")
    return with_later_columns(table)


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
    table = read_table(path)
    found = check_table(table)
    return found or check_files(table, path.parent, digests=digests)
