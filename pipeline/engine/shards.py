"""Shards: a stage's work in pieces that are there whole or not at all.

A finished shard is `part-00007.parquet` (+ the files its rows name), written under a temporary name, fsynced
and renamed; its marker `done/00007.json` comes last and holds the cache key, the digest, and size and digest
of each file. Running again does what is missing or was changed; a changed key makes every shard stale. Every
attempted item has a row.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic

import pyarrow as pa
import pyarrow.compute as pc
from typing_extensions import TypeVar

from manifests.atomic import digest_file, digest_value, write_json
from manifests.containment import inside, leads_out
from manifests.contents import Digests
from manifests.errors import DataError, UsageError
from manifests.picture_shards import shard_name
from manifests.store import GROUP, read_table, write_table
from pipeline.engine.markers import changed_files, named, read_marker, remove_marker, shard_markers

Payload = TypeVar("Payload", default=Any)

NOT_THERE = "missing"
"""Said of a shard without a marker of its key."""


@dataclass(frozen=True)
class Task(Generic[Payload]):
    """One shard to do, picklable: which stage, which piece, where, and what the stage's `work` needs.

    `call` is a function of a module (picklable by name) from the task to the shard's table. `payload` is a
    frozen dataclass of the stage's own.
    """

    stage: str
    index: int
    folder: Path
    key: str
    call: Callable[[Task[Payload]], pa.Table]
    payload: Payload = None  # type: ignore[assignment]

    @property
    def part(self) -> Path:
        return self.folder / f"part-{self.index:05d}.parquet"

    @property
    def marker(self) -> Path:
        return self.folder / "done" / f"{self.index:05d}.json"

    @property
    def shard_key(self) -> str:
        """The stage's key with what this piece is."""
        return digest_value({"stage": self.key, "index": self.index})


def not_done(task: Task, digests: Digests = "whole") -> str | None:
    """Why a shard has to be made: `NOT_THERE`, or its files that are missing or were changed; None where it
    is done.

    Args:
        task: the shard: done if it was made with this key, with the bytes that its marker says, and has all
            files it names.
        digests: which of the files are compared with their digests; with `none` they only have to be there.
    """
    marker = read_marker(task.marker)
    if marker is None or marker.key != task.shard_key:
        return NOT_THERE
    if not task.part.is_file() or digest_file(task.part) != marker.digest:
        return task.part.name
    if digests == "none":
        gone = [fact.name for fact in marker.files if not (task.folder / fact.name).is_file()]
    else:
        gone = changed_files(marker.files, digests)
    return named(gone) if gone else None


def do_shard(task: Task) -> tuple[int, int]:
    """Do one shard: returns (index, rows). Runs in a worker."""
    table = task.call(task)
    names: list[str] = []
    for column in ("path", "mask_path"):
        if column in table.column_names:
            names += {shard_name(p) for p in table.column(column).to_pylist() if p}
    files = {name: inside(task.folder, name) for name in sorted(set(names))}
    facts = {name: [path.stat().st_size, digest_file(path)] for name, path in files.items()}
    write_table(table, task.part)
    if task.marker.is_dir():
        remove_marker(task.marker)
    write_json(
        task.marker,
        {
            "key": task.shard_key,
            "digest": digest_file(task.part),
            "rows": table.num_rows,
            "files": facts,
            "content": _summed(digest_value([name, sha256]) for name, (_, sha256) in facts.items()),
        },
    )
    return task.index, table.num_rows


def _summed(digests: Iterable[str]) -> str:
    """One digest of many in any order, empty for none: their sum modulo 2^256, in hexadecimal."""
    total = sum(int(digest, 16) for digest in digests) % 2**256
    return f"{total:064x}" if total else ""


def content_of(folder: Path) -> str:
    """One digest of all files that a folder's finished shards name, however they are cut into shards; empty
    for none.
    """
    found = (read_marker(path) for _, path in shard_markers(folder))
    return _summed(marker.content for marker in found if marker is not None and marker.content)


def read_shards(folder: Path, count: int) -> pa.Table:
    """The tables of shards 0 to count - 1, one after another."""
    parts = [read_table(folder / f"part-{index:05d}.parquet") for index in range(count)]
    return pa.concat_tables(parts)


def _read_joined(folder: Path, count: int) -> pa.Table:
    """`read_shards`, joined while they are read: a thousand small ones take twice the memory of what they
    hold.
    """
    joined: list[pa.Table] = []
    some: list[pa.Table] = []
    for index in range(count):
        some.append(read_table(folder / f"part-{index:05d}.parquet"))
        if index == count - 1 or sum(part.num_rows for part in some) >= GROUP:
            joined.append(pa.concat_tables(some).combine_chunks())
            some.clear()
            pa.default_memory_pool().release_unused()
    return pa.concat_tables(joined)


def read_sorted(folder: Path, count: int, key: str) -> tuple[pa.Table, pa.Array]:
    """`read_shards`, each column in one piece, and the places of its rows in the order of a column, for
    `manifests.store.write_manifest`: a sorted copy of the whole would be another table's worth of memory.
    """
    table = _read_joined(folder, count)
    schema, columns = table.schema, []
    for name in schema.names:
        columns.append(table[name].combine_chunks())
        table = table.drop_columns([name])
        pa.default_memory_pool().release_unused()  # its chunks, before the next ones are there twice
    table = pa.table(columns, schema=schema)
    return table, pc.sort_indices(table[key])


def drop_leftovers(folder: Path, count: int) -> None:
    """Remove shards numbered `count` and above (of an earlier, larger plan), with the files of the stage that
    they name.
    """
    for number, path in shard_markers(folder):
        if number < count:
            continue
        marker = read_marker(path)
        for fact in marker.files if marker is not None else ():
            fact.remove()
        (folder / f"part-{number:05d}.parquet").unlink(missing_ok=True)
        remove_marker(path)


def drop_all(folder: Path, root: Path) -> None:
    """Remove a stage's folder with everything in it.

    Raises:
        UsageError: it, or a folder between it and the run directory `root`, is a link: nothing is removed
            where that leads.
    """
    own = [place for place in (folder, *folder.parents) if root in place.parents]
    link = next((place for place in own if place.is_symlink()), None)
    if link is not None:
        raise UsageError(
            str(link),
            f"is a link to {os.path.realpath(link)}, and what is there has to be made again",
            "empty the folder that it leads to (nothing is removed through a link), then run the same command"
            " again",
        )
    if folder.exists():
        shutil.rmtree(folder)


def check_links(folder: Path) -> None:
    """Whether a stage writes into its folder alone: no link in it, nor in a folder of its, leads out.

    Raises:
        DataError: one does.
    """
    for path in (*folder.glob("*"), *folder.glob("*/*")):
        if path.is_symlink() and leads_out(folder, path):
            raise DataError(
                str(path),
                f"is a link that leads out of {folder}, and files would be written there",
                "remove it; the whole folder of a stage may be a link",
            )


def parse_shard(shard: str) -> tuple[int, int]:
    """`i/n` as (i, n), i from 1.

    Raises:
        UsageError: not of this form.
    """
    left, slash, right = shard.partition("/")
    if not (slash and left.isdigit() and right.isdigit() and 1 <= int(left) <= int(right)):
        raise UsageError(
            f"--shard {shard}", "is not of the form i/n with 1 <= i <= n", "for example --shard 2/8"
        )
    return int(left), int(right)


def of_host(tasks: Sequence[Task], shard: str | None) -> list[Task]:
    """The tasks of host `i/n` (i from 1): every n-th. All of them when `shard` is None.

    Raises:
        UsageError: not of the form i/n.
    """
    if shard is None:
        return list(tasks)
    host, hosts = parse_shard(shard)
    return [task for task in tasks if task.index % hosts == host - 1]
