"""The clips that a command names: rows of a manifest, files below a folder, or a list of published
features.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from manifests.adapters.clips import CLIP_SUFFIXES
from manifests.atomic import digest_file
from manifests.clip_columns import clip_rows
from manifests.containment import inside
from manifests.errors import DataError, MissingError
from manifests.escaping import printable
from manifests.images import CHANGED
from manifests.listing import LeftOut, list_files
from manifests.store import manifest_file, read_manifest
from manifests.text_files import csv_rows
from manifests.values import BadValue, is_missing, label_of, relative_path

KNOWN = (
    "label",
    "method",
    "race",
    "gender",
    "cell",
    "identity_id",
    "video_id",
    "pair_id",
    "split",
    "counterfactual_id",
)
"""What is kept of a clip's row beside its id."""


@dataclass(frozen=True)
class NamedClip:
    """A clip, or its features. key: its id. problem: why it cannot be used. facts: columns of `KNOWN` that
    are known.

    digests: that its row has of its files, hex, for `path` and `audio`; None where there is none.
    """

    key: str
    path: Path
    audio: Path | None = None
    problem: str | None = None
    facts: dict[str, Any] = field(default_factory=dict)
    digests: tuple[str | None, str | None] = (None, None)


def is_manifest(path: Path) -> bool:
    """Whether a path is a manifest, or the folder of one."""
    return manifest_file(path).is_file() and manifest_file(path).suffix == ".parquet"


def clips_of(paths: Sequence[Path], split: str | None = None) -> list[NamedClip]:
    """The clips of manifests, of folders, and files, in order.

    Args:
        paths: manifests or their folders, folders of clips, or clips.
        split: of manifests, only this one.

    Raises:
        MissingError: nothing there. DataError: a manifest without a clip (of that split), or one that cannot
            be read.
    """
    out: list[NamedClip] = []
    for path in paths:
        if is_manifest(path):
            out += _of_manifest(path, split)
        elif path.is_dir():
            out += [
                _left_out(one)
                if isinstance(one, LeftOut)
                else NamedClip(one.relative_to(path).as_posix(), one)
                for one in list_files(path, CLIP_SUFFIXES).items(path)
            ]
        else:
            out.append(NamedClip(printable(str(path)), path))
    if not out:
        raise MissingError(
            ", ".join(printable(str(path)) for path in paths) or "nothing",
            "holds no clip",
            f"known endings: {', '.join(CLIP_SUFFIXES)}",
        )
    return out


def _left_out(one: LeftOut) -> NamedClip:
    return NamedClip(one.name, Path(one.name), problem=one.reason)


def _of_manifest(path: Path, split: str | None) -> list[NamedClip]:
    file = manifest_file(path)
    rows = [row for row in clip_rows(read_manifest(file)).to_pylist() if split in (None, row["split"])]
    if not rows:
        raise DataError(
            str(file),
            "holds no clip" + (f" of split {split}" if split else ""),
            "see `fairforge list adapters`",
        )
    return [_of_row(file.parent, row) for row in rows]


def _of_row(folder: Path, row: dict[str, Any]) -> NamedClip:
    facts, key = {name: row[name] for name in KNOWN}, row["image_id"]
    try:
        audio = inside(folder, row["audio_path"]) if row["audio_path"] is not None else None
        return NamedClip(
            key, inside(folder, row["path"]), audio, None, facts, (row["sha256"], row["audio_sha256"])
        )
    except DataError as error:
        return NamedClip(key, folder, problem=error.why, facts=facts)


def published_clips(table: Path, root: Path) -> list[NamedClip]:
    """The features that a list published with AVH-Align names: `path,label[,num_frames]`, a `.npz` below
    `root` for each path.

    Raises:
        MissingError, DataError: the list cannot be read.
    """
    out = []
    for where, row in csv_rows(table, ("path",), ("label",)):
        try:
            name = relative_path(row["path"])
            file = inside(root, Path(name).with_suffix(".npz").as_posix(), links=True)
            label = None if is_missing(row.get("label")) else label_of(row["label"])
            facts = {"label": label, "method": "unknown" if label else "none", "video_id": name}
            out.append(NamedClip(name, file, problem=None if file.is_file() else "is not there", facts=facts))
        except (BadValue, DataError) as error:
            why = error.why if isinstance(error, DataError) else str(error)
            out.append(NamedClip(where.removeprefix(f"{table.parent.as_posix()}/"), root, problem=why))
    if not out:
        raise DataError(str(table), "has no row", "give a list with the column path")
    return out


def file_digest(clip: NamedClip) -> str:
    """Digest of a clip's files: the same clip has the same features, wherever it lies.

    Raises:
        MissingError: one is not there. DataError: one is another file than the clip's row describes.
    """
    parts = []
    for path, said in zip((clip.path, clip.audio), clip.digests, strict=True):
        if path is None:
            continue
        if not path.is_file():
            raise MissingError(clip.key, "is not there", "check the path")
        parts.append(digest_file(path))
        if said is not None and parts[-1] != said:
            raise DataError(clip.key, CHANGED, "make or fetch it again")
    return "-".join(part[:24] for part in parts)
