"""The clips that a command names: rows of a manifest, files below a folder, or a list of published features."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from manifests.adapters.clips import CLIP_SUFFIXES
from manifests.atomic import digest_file
from manifests.clip_columns import clip_rows
from manifests.errors import DataError, MissingError
from manifests.listing import LeftOut, list_files, printable
from manifests.store import manifest_file, read_manifest
from manifests.text_files import csv_rows
from manifests.values import BadValue, is_missing, label_of, relative_path

KNOWN = ("label", "method", "race", "gender", "cell", "identity_id", "video_id", "pair_id", "split", "counterfactual_id")
"""What is kept of a clip's row beside its id."""


@dataclass(frozen=True)
class NamedClip:
    """A clip, or its features. key: its id. problem: why it cannot be used. facts: columns of `KNOWN` that are known."""

    key: str
    path: Path
    audio: Path | None = None
    problem: str | None = None
    facts: dict[str, Any] = field(default_factory=dict)


def is_manifest(path: Path) -> bool:
    """Whether a path is a manifest, or the folder of one."""
    return manifest_file(path).is_file() and manifest_file(path).suffix == ".parquet"


def clips_of(paths: Sequence[Path], split: str | None = None) -> list[NamedClip]:
    """The clips of manifests, of folders, and files, in order.

    Args:
        paths: manifests or their folders, folders of clips, or clips.
        split: of manifests, only this one.

    Raises:
        MissingError: nothing there. DataError: a manifest without a clip (of that split), or one that cannot be read.
    """
    out: list[NamedClip] = []
    for path in paths:
        if is_manifest(path):
            out += _of_manifest(path, split)
        elif path.is_dir():
            out += [_left_out(one) if isinstance(one, LeftOut) else NamedClip(one.relative_to(path).as_posix(), one)
                    for one in list_files(path, CLIP_SUFFIXES).items(path)]
        else:
            out.append(NamedClip(printable(str(path)), path))
    if not out:
        raise MissingError(", ".join(printable(str(path)) for path in paths) or "nothing", "holds no clip",
                           f"known endings: {', '.join(CLIP_SUFFIXES)}")
    return out


def _left_out(one: LeftOut) -> NamedClip:
    return NamedClip(one.name, Path(one.name), problem=one.reason)


def _of_manifest(path: Path, split: str | None) -> list[NamedClip]:
    file = manifest_file(path)
    rows = [row for row in clip_rows(read_manifest(file)).to_pylist() if split in (None, row["split"])]
    if not rows:
        raise DataError(str(file), "holds no clip" + (f" of split {split}" if split else ""), "see `fairforge list adapters`")
    return [
        NamedClip(row["image_id"], file.parent / row["path"], file.parent / row["audio_path"] if row["audio_path"] else None,
                  facts={name: row[name] for name in KNOWN}) for row in rows
    ]


def published_clips(table: Path, root: Path) -> list[NamedClip]:
    """The features that a list published with AVH-Align names: `path,label[,num_frames]`, a `.npz` below `root` for each path.

    Raises:
        MissingError, DataError: the list cannot be read.
    """
    out = []
    for where, row in csv_rows(table, ("path",), ("label",)):
        try:
            name = relative_path(row["path"])
            file = root / Path(name).with_suffix(".npz")
            label = None if is_missing(row.get("label")) else label_of(row["label"])
            facts = {"label": label, "method": "unknown" if label else "none", "video_id": name}
            out.append(NamedClip(name, file, problem=None if file.is_file() else "is not there", facts=facts))
        except BadValue as error:
            out.append(NamedClip(where.removeprefix(f"{table.parent.as_posix()}/"), root, problem=str(error)))
    if not out:
        raise DataError(str(table), "has no row", "give a list with the column path")
    return out


def file_digest(clip: NamedClip) -> str:
    """Digest of a clip's files: the same clip has the same features, wherever it lies."""
    parts = [digest_file(clip.path), *([digest_file(clip.audio)] if clip.audio is not None else [])]
    return "-".join(part[:24] for part in parts)
