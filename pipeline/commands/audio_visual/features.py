"""`fairforge av features`: what a model of sound and picture reads, one file per clip, and a table of all
clips with reasons.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa

from detector.audio_visual.feature_files import read_features, write_features
from manifests.atomic import digest_file, write_json
from manifests.containment import inside
from manifests.errors import DataError, MissingError, UsageError
from manifests.locks import writing_alone
from manifests.store import read_table, write_table
from manifests.text_files import read_json
from manifests.watching import watch_by, watched, watching
from pipeline.commands.audio_visual.clip_reader import ClipReader, mouth_reader
from pipeline.commands.audio_visual.sources import KNOWN, NamedClip, clips_of, file_digest, published_clips
from pipeline.engine.executors import Executor
from pipeline.engine.progress import Reporter

VERSION = 1
TABLE, ABOUT = "features.parquet", "features.json"
SCHEMA = pa.schema(
    [
        ("clip_id", pa.string()),
        ("path", pa.string()),
        ("status", pa.string()),
        ("reason", pa.string()),
        ("notes", pa.string()),
        ("file", pa.string()),
        ("digest", pa.string()),
        ("frames", pa.int32()),
        ("silence", pa.float32()),
        ("found", pa.float32()),
        ("label", pa.int8()),
        *((name, pa.string()) for name in KNOWN if name != "label"),
    ]
)
"""Of the table. file: below its folder or, of published features, below theirs. silence: seconds at the
start. found: share of frames with a face.
"""


def _about(out: Path, about: dict[str, Any]) -> None:
    """Note what the folder's features are, and refuse another kind beside them.

    Raises:
        UsageError: the folder has features made otherwise.
    """
    file = out / ABOUT
    if file.is_file() and read_json(file, dict) != about:
        raise UsageError(str(out), "has features that were made otherwise", "choose another --out")
    write_json(file, about)


def _done(file: Path) -> dict[str, Any] | None:
    """What was noted of a clip whose features are there."""
    side = file.with_suffix(".json")
    if not (file.is_file() and side.is_file()):
        return None
    noted = read_json(side, dict)
    return noted["noted"] if noted.get("sha256") == digest_file(file) else None


def _own_row(clip: NamedClip, reader: ClipReader, out: Path) -> dict[str, Any]:
    """The row of a clip whose features are made, or were before."""
    digest = file_digest(clip)
    file = inside(out, f"clips/{digest[:2]}/{digest}.npz")
    noted = _done(file)
    if noted is None:
        arrays, noted = reader.arrays(clip)
        write_features(file, arrays)
        write_json(file.with_suffix(".json"), {"noted": noted, "sha256": digest_file(file)})
    return {**noted, "file": file.relative_to(out).as_posix(), "digest": digest_file(file)}


def _published_row(clip: NamedClip, root: Path) -> dict[str, Any]:
    """The row of published features, which stay where they are."""
    _, arrays = read_features(clip.path)
    return {
        "file": clip.path.relative_to(root).as_posix(),
        "digest": digest_file(clip.path),
        "notes": "",
        "frames": min(map(len, arrays.values())),
    }


@dataclass(frozen=True)
class _Group:
    """Clips that belong together, and their places in the table."""

    places: tuple[int, ...]
    clips: tuple[NamedClip, ...]


@dataclass(frozen=True)
class _OwnRows:
    """Rows of clips that belong together, made in any process. reader: a `MouthReader`; None: embedded
    models.
    """

    out: Path
    trim: bool
    device: str
    reader: Any = None

    def __call__(self, group: _Group) -> tuple[tuple[int, ...], list[dict[str, Any]]]:
        several = len(group.clips) > 1
        read = ClipReader(self.reader or mouth_reader(self.device), self.trim, again=several)
        rows = [_row(clip, lambda one: _own_row(one, read, self.out)) for clip in group.clips]
        return group.places, rows


def _row(clip: NamedClip, make: Callable[[NamedClip], dict[str, Any]]) -> dict[str, Any]:
    """The row of a clip: what `make` says of it, or why there is nothing."""
    row = {"clip_id": clip.key, "path": str(clip.path), "status": "ok", "reason": None, **clip.facts}
    try:
        if clip.problem is not None:
            raise DataError(clip.key, clip.problem, "mend its row")
        row |= make(clip)
    except (MissingError, DataError) as error:
        row |= {"status": "failed", "reason": error.why}
    return {name: row.get(name) for name in SCHEMA.names}


def _grouped(clips: Sequence[NamedClip]) -> list[list[int]]:
    """Places of clips that belong together: a real one and the fakes made of it may show the same picture."""
    found: dict[Any, list[int]] = {}
    for place, clip in enumerate(clips):
        found.setdefault(clip.facts.get("pair_id") or (place,), []).append(place)
    return list(found.values())


def _written(rows: list[dict[str, Any]], out: Path) -> pa.Table:
    table = pa.Table.from_pylist(rows, schema=SCHEMA)
    write_table(table, out / TABLE)
    return table


def own_features(
    clips: Sequence[NamedClip],
    out: Path,
    *,
    trim: bool = False,
    device: str = "cpu",
    reader: Any = None,
    workers: int = 1,
) -> pa.Table:
    """Features that our own encoder reads, of clips; what is there already is kept.

    Args:
        clips: of `clips_of`. out: folder. trim: without leading silence, as published. device: of the face
            models. reader: a `MouthReader`; None: the embedded models. workers: processes.

    Raises:
        UsageError: `out` has features that were made otherwise. PartialError: a process was killed.
    """
    _about(out, {"version": VERSION, "kind": "own", "trim": trim})
    groups = _grouped(clips)
    tasks = [_Group(tuple(places), tuple(clips[place] for place in places)) for places in groups]
    make = _OwnRows(out, trim, device, reader)
    rows: list[dict[str, Any]] = [{} for _ in clips]
    done = 0
    with (
        Executor("process" if workers > 1 else "local", workers) as executor,
        watching("features", len(clips), "clips") as step,
    ):
        for places, made in executor.map(make, tasks):
            for place, row in zip(places, made, strict=True):
                rows[place] = row
            done += len(places)
            step(done)
    return _written(rows, out)


def published_features(clips: Sequence[NamedClip], out: Path, root: Path) -> pa.Table:
    """A table of published features, which stay below `root`.

    Raises:
        UsageError: `out` has features that were made otherwise.
    """
    _about(out, {"version": VERSION, "kind": "published", "trim": False, "root": os.path.realpath(root)})
    rows = [_row(clip, lambda one: _published_row(one, root)) for clip in watched(clips, "features", "clips")]
    return _written(rows, out)


def read_table_of(folder: Path) -> pa.Table:
    """The table of a folder of features.

    Raises:
        MissingError: there is none. DataError: it cannot be read.
    """
    file = folder / TABLE if folder.is_dir() else folder
    if not file.is_file():
        raise MissingError(str(file), "is not there", "make it with `fairforge av features`")
    return read_table(file, needed=list(SCHEMA.names))


def root_of(folder: Path) -> Path:
    """The folder that `file` of a table of features is relative to: its own, or that of published features.

    Args:
        folder: of the table, or the table.

    Raises:
        DataError: `features.json` is damaged.
    """
    home = folder if folder.is_dir() else folder.parent
    about = read_json(home / ABOUT, dict) if (home / ABOUT).is_file() else {}
    root = about.get("root", "")
    if not isinstance(root, str):
        raise DataError(str(home / ABOUT), "its root is no text", "make the features again")
    return Path(root) if root else home


def feature_file(root: Path, row: Mapping[str, Any]) -> Path:
    """The file of features of a row, below `root` (see `root_of`).

    Raises:
        DataError: its name leaves the folder.
    """
    return inside(root, row["file"], links=True)


def _summary(table: pa.Table, out: Path) -> tuple[dict[str, Any], str]:
    rows = table.to_pylist()
    failed = [row for row in rows if row["status"] != "ok"]
    value = {
        "features": str(out / TABLE),
        "clips": len(rows),
        "failed": len(failed),
        "reasons": [{"clip": row["clip_id"], "reason": row["reason"]} for row in failed],
    }
    lines = [f"failed  {row['clip_id']}: {row['reason']}" for row in failed[:20]]
    return value, "\n".join(
        [*lines, f"{out / TABLE} ({len(rows) - len(failed)} clips, {len(failed)} failed)"]
    )


def features_command(
    paths: Sequence[Path],
    out: Path,
    *,
    published: Path | None,
    trim: bool,
    device: str,
    workers: int,
    quiet: bool,
) -> tuple[dict[str, Any], str, bool]:
    """Features of clips, or with `published` a check and a table of those that a list names; whether any clip
    can be used.

    Raises:
        UsageError: `--published` with more than one list, or with `--trim`. MissingError, DataError: as
            `clips_of`.
    """
    reporter = Reporter(quiet=quiet)
    with writing_alone(out), watch_by(reporter.watch("features")):
        if published is None:
            table = own_features(clips_of(paths), out, trim=trim, device=device, workers=workers)
        else:
            if len(paths) != 1:
                fix = "for example: fairforge av features train.csv --published DIR"
                raise UsageError("--published", "needs one list of clips", fix)
            table = published_features(published_clips(paths[0], published), out, published)
    value, text = _summary(table, out)
    return value, text, any(status == "ok" for status in table["status"].to_pylist())
