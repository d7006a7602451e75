"""What exporters share: the rows of a manifest, a safe copy of an image, and the attributes other layouts
have no place for.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path, PurePosixPath
from typing import Any

from manifests.atomic import write_bytes
from manifests.clip_columns import VIDEO
from manifests.clips.facts import clip_facts, sound_facts
from manifests.clips.files import clip_file
from manifests.containment import inside
from manifests.errors import DataError, MissingError
from manifests.images import READABLE, decode, ending_of, read_bytes
from manifests.schema import metadata_of
from manifests.store import manifest_file, read_images, read_manifest

KEPT = (
    "image_id",
    "label",
    "method",
    "family",
    "race",
    "gender",
    "age",
    "cell",
    "identity_id",
    "pair_id",
    "video_id",
    "split",
    "landmarks",
    "landmark_scheme",
    "licence",
    "dataset",
    "target_cell",
    "source_cell",
    "consent",
    "origin",
)
"""Columns that go into every layout with a place for more, and that the adapters read back."""


OF_CLIPS = ("media", "frames", "fps", "duration", "fake_segments")
"""What goes with `KEPT` for a clip."""


def rows_of(manifest: Path, *, clips: bool = False) -> tuple[Path, str, list[dict[str, Any]]]:
    """The manifest's folder, its taxonomy ("fairface4" where it names none), and its rows.

    Args:
        manifest: its file or folder.
        clips: whether the layout has a place for clips; else they are passed by.

    Raises:
        As `read_manifest`, or, without clips, as `manifests.store.read_images`.
    """
    file = manifest_file(manifest)
    table = read_manifest(file) if clips else read_images(file)
    return file.parent, metadata_of(table).get("taxonomy") or "fairface4", table.to_pylist()


def image_bytes(folder: Path, name: str, sha256: str | None) -> bytes:
    """The bytes of a picture that is given away: read below the manifest's folder, compared with its digest,
    decoded.

    Args:
        folder: of the manifest.
        name: of the picture's file, from the manifest.
        sha256: that its row has; None where it has none.

    Raises:
        DataError: it is not there, is no readable picture or another one than its row describes, or a link
            that leads out.
    """
    try:
        data = read_bytes(inside(folder, name), sha256)
    except MissingError as error:
        raise DataError(name, "is not there, but the manifest names it", "make the dataset again") from error
    decode(data, name)
    return data


def clip_of(folder: Path, row: Mapping[str, Any]) -> list[tuple[str, Path]]:
    """(name when given away, file) of a clip and, where its sound is a file, of that: compared with their
    digests, packets read.

    Args:
        folder: of the manifest.
        row: of a clip.

    Raises:
        MissingError: `av` is not installed. DataError: one is not there, cannot be read, is another one than
            its row describes, or a link that leads out.
    """
    clip = clip_file(folder, row["path"], row["sha256"])
    clip_facts(clip)
    files = [(f"{row['image_id']}{clip.suffix}", clip)]
    if row["audio_path"] is not None:
        sound = clip_file(folder, row["audio_path"], row["audio_sha256"])
        sound_facts(sound)
        files.append((f"{row['image_id']}.sound{sound.suffix}", sound))
    return files


def image_of(folder: Path, row: Mapping[str, Any]) -> bytes:
    """The bytes of the image of a row; errors as `image_bytes`."""
    return image_bytes(folder, str(row["path"]), row["sha256"])


def image_name(row: Mapping[str, Any], data: bytes) -> str:
    """The file name an exported image has: its `image_id`, and an ending of pictures: of its path or, else,
    of its content.
    """
    ending = PurePosixPath(str(row["path"])).suffix
    return f"{row['image_id']}{ending if ending.lower() in READABLE else ending_of(data)}"


def put_image(out: Path, place: str, row: Mapping[str, Any], data: bytes, number: int | None = None) -> str:
    """Write the image of a row into the folder `place` below `out`; its path below `out`. What is there whole
    stays.

    Args:
        out: folder of the export.
        place: folder below it.
        row: of the manifest.
        data: of the image.
        number: the name it gets, as `007.jpg`; None: its id.

    Raises:
        DataError: the place or the row's id leaves `out`, or leads out of it through a link. PartialError:
            the disk is full.
    """
    name = image_name(row, data)
    if number is not None:
        name = f"{number:03d}{PurePosixPath(name).suffix}"
    path = f"{place}/{name}"
    target = inside(out, path)
    if not (target.is_file() and target.read_bytes() == data):
        write_bytes(target, data)
    return path


def slug(text: str) -> str:
    """Text as a name of one folder: letters, digits, `-`, `_` and `.`; anything else becomes `-`."""
    return re.sub(r"[^A-Za-z0-9._-]+", "-", text).strip(".-") or "all"


def video_of(row: Mapping[str, Any]) -> str:
    """The row's video, or its own image where it has none."""
    return str(row["video_id"] or row["image_id"])


def attributes(row: Mapping[str, Any]) -> dict[str, Any]:
    """The columns of `KEPT` that this row knows; of a clip also those of `OF_CLIPS`."""
    names = (*KEPT, *OF_CLIPS) if row.get("media") == VIDEO else KEPT
    return {name: row[name] for name in names if row[name] is not None}
