"""Shards: a stage's work in pieces that are there whole or not at all.

A finished shard is `part-00007.parquet` (+ the files its rows name), written under a temporary name, fsynced and
renamed; its marker `done/00007.json` comes last and holds the cache key and the digest. Running again does what is
missing; a changed key makes every shard stale. Every attempted item has a row.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pyarrow as pa

from manifests.atomic import digest_file, digest_value, write_json
from manifests.errors import UsageError
from manifests.store import read_table, write_table
from pipeline.run_directory import read_json


@dataclass(frozen=True)
class Task:
    """One shard to do, picklable: which stage, which piece, where, and what the stage's `work` needs.

    `call` is a function of a module (picklable by name) from the task to the shard's table.
    """

    stage: str
    index: int
    folder: Path
    key: str
    call: Callable[[Task], pa.Table]
    payload: dict[str, Any] = field(default_factory=dict)

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


def is_done(task: Task) -> bool:
    """Whether the shard is there, made with this key, with the bytes its marker says, and all the files it names."""
    marker = read_json(task.marker)
    if marker.get("key") != task.shard_key or not task.part.is_file():
        return False
    if digest_file(task.part) != marker.get("digest"):
        return False
    return all((task.folder / name).is_file() for name in marker.get("files", []))


def do_shard(task: Task) -> tuple[int, int]:
    """Do one shard: returns (index, rows). Runs in a worker."""
    table = task.call(task)
    files: list[str] = []
    for column in ("path", "mask_path"):
        if column in table.column_names:
            files += [p for p in table.column(column).to_pylist() if p]
    write_table(table, task.part)
    write_json(task.marker, {
        "key": task.shard_key, "digest": digest_file(task.part), "rows": table.num_rows, "files": sorted(files),
        "content": _summed(digest_value([name, digest_file(task.folder / name)]) for name in files),
    })
    return task.index, table.num_rows


def _summed(digests: Iterable[str]) -> str:
    """One digest of many in any order, empty for none: their sum modulo 2^256, in hexadecimal."""
    total = sum(int(digest, 16) for digest in digests) % 2**256
    return f"{total:064x}" if total else ""


def content_of(folder: Path) -> str:
    """One digest of all files that a folder's finished shards name, however they are cut into shards; empty for none."""
    found = (read_json(marker).get("content") for marker in folder.glob("done/[0-9]*.json"))
    return _summed(digest for digest in found if digest)


def read_shards(folder: Path, count: int) -> pa.Table:
    """The tables of shards 0 to count - 1, one after another."""
    parts = [read_table(folder / f"part-{index:05d}.parquet") for index in range(count)]
    return pa.concat_tables(parts)


def drop_leftovers(folder: Path, count: int) -> None:
    """Remove shards numbered `count` and above (of an earlier, larger plan), with the files they name."""
    for marker in folder.glob("done/[0-9]*.json"):
        if int(marker.stem) < count:
            continue
        for name in read_json(marker).get("files", []):
            (folder / name).unlink(missing_ok=True)
        (folder / f"part-{marker.stem}.parquet").unlink(missing_ok=True)
        marker.unlink(missing_ok=True)


def drop_temporaries(folder: Path) -> None:
    """Remove the temporary files that a killed writer left in `folder`; only while nothing is written there."""
    for temporary in folder.rglob(".*.tmp"):
        temporary.unlink(missing_ok=True)


def drop_all(folder: Path) -> None:
    """Remove a stage's folder with everything in it."""
    if folder.exists():
        shutil.rmtree(folder)


def parse_shard(shard: str) -> tuple[int, int]:
    """`i/n` as (i, n), i from 1.

    Raises:
        UsageError: not of this form.
    """
    left, slash, right = shard.partition("/")
    if not (slash and left.isdigit() and right.isdigit() and 1 <= int(left) <= int(right)):
        raise UsageError(f"--shard {shard}", "is not of the form i/n with 1 <= i <= n",
            "for example --shard 2/8")
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
