"""Markers of finished shards and stages, and whether the files they name are still those that were written.

A marker may be of anybody's run folder: one of another shape, or that names files outside its folder, is
none, and what it stands for is made again.
"""

from __future__ import annotations

import re
import shutil
import warnings
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from manifests.atomic import digest_file
from manifests.containment import inside, path_escapes
from manifests.contents import Digests, compared
from manifests.errors import DataError, DataWarning
from manifests.escaping import printable
from pipeline.engine.run_directory import read_json

DIGEST = re.compile("([0-9a-f]{64})?")
NEVER = -1
"""A number of bytes that no file has."""
NUMBER = re.compile(r"\d{5,9}\.json")


@dataclass(frozen=True)
class FileFact:
    """A file as it was written: its name below `folder`, bytes and sha256; None where that is not known."""

    folder: Path
    name: str
    size: int | None = None
    sha256: str | None = None

    def changed(self, digests: Digests) -> bool:
        """Whether it is missing, empty, of another size, a link that leads out, or, where that is compared,
        of other bytes.
        """
        try:
            path = inside(self.folder, self.name)
            size = path.stat().st_size if path.is_file() else 0
            if size == 0 or size != (self.size or size):
                return True
            sha256 = compared(self.sha256, digests)
            return sha256 is not None and digest_file(path) != sha256
        except (DataError, OSError):
            return True

    def remove(self) -> None:
        """Remove the file, where it lies in the folder: nothing is removed through a link that leads out."""
        with suppress(DataError):
            inside(self.folder, self.name).unlink(missing_ok=True)


@dataclass(frozen=True)
class ShardMarker:
    """What a shard's marker says. digest: of its table. content: one digest of all its files
    (`shards.content_of`).
    """

    key: str
    digest: str
    content: str
    files: tuple[FileFact, ...]


def _is_fact(value: Any) -> bool:
    return isinstance(value, list) and len(value) == 2 and type(value[0]) is int and isinstance(value[1], str)


def _facts(folder: Path, value: Any) -> tuple[FileFact, ...] | None:
    """The files of a marker: `{name: [bytes, sha256]}`, or names alone as earlier versions wrote them; None
    for anything else.
    """
    if isinstance(value, list) and all(isinstance(name, str) for name in value):
        return tuple(FileFact(folder, name) for name in value)
    if isinstance(value, dict) and all(map(_is_fact, value.values())):
        return tuple(FileFact(folder, name, *fact) for name, fact in value.items())
    return None


def read_marker(path: Path) -> ShardMarker | None:
    """The marker of a shard, `STAGE/done/NNNNN.json`; None where there is none, or one of another shape.

    A marker that names a file outside the stage's folder is none either, and a `DataWarning` says so.
    """
    value, folder = read_json(path), path.parent.parent
    key, digest, content = (value.get(name, "") for name in ("key", "digest", "content"))
    files = _facts(folder, value.get("files"))
    whole = all(isinstance(text, str) for text in (key, digest, content)) and DIGEST.fullmatch(content)
    if not value or files is None or not whole:
        return None
    away = next((fact.name for fact in files if path_escapes(fact.name)), None)
    if away is not None:
        warnings.warn(
            f"{path}: is passed over: it names {printable(away)!r:.200}, outside its folder",
            DataWarning,
            stacklevel=2,
        )
        return None
    return ShardMarker(key, digest, content, files)


def shard_markers(folder: Path) -> Iterator[tuple[int, Path]]:
    """Number and path of every marker of a shard in a stage's folder, in their order."""
    found = (path for path in folder.glob("done/*.json") if NUMBER.fullmatch(path.name))
    yield from sorted((int(path.stem), path) for path in found)


def remove_marker(path: Path) -> None:
    """Remove a marker, also where a folder stands in its place."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def shard_files(folder: Path) -> Iterator[FileFact]:
    """The files that a stage's finished shards name; a marker of another shape stands for itself, as
    changed.
    """
    for _, path in shard_markers(folder):
        marker = read_marker(path)
        if marker is None:
            yield FileFact(folder, f"done/{path.name}", NEVER)
        else:
            yield from marker.files


def changed_files(facts: Iterable[FileFact], digests: Digests) -> list[str]:
    """Names of the files that are not as they were written; none are looked at where `digests` is `none`."""
    return [] if digests == "none" else [fact.name for fact in facts if fact.changed(digests)]


def named(names: list[str]) -> str:
    """Up to three names, and how many more there are."""
    return ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")


def read_stage_marker(path: Path) -> dict[str, Any]:
    """The marker of a finished stage, `STAGE/done/stage.json`; empty where there is none, or one of another
    shape.
    """
    value = read_json(path)
    outputs = value.get("outputs")
    whole = (
        all(isinstance(value.get(name), str) for name in ("key", "digest", "main"))
        and all(isinstance(value.get(name), Mapping) for name in ("parts", "summary"))
        and isinstance(outputs, Mapping)
        and all(isinstance(sha256, str) for sha256 in outputs.values())
    )
    return value if whole else {}
