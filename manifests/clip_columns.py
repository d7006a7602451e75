"""Columns of clips: a video with its sound is a row too, beside the images of a manifest or alone.

`media` is `image` or `video` (null, as older manifests have it: image). Of a clip `path` is the file, `width`
and `height` are those of a frame, and `sha256` is the digest of the file.
"""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

IMAGE, VIDEO = "image", "video"
MEDIA = (IMAGE, VIDEO)
CLIP_FIELDS: tuple[tuple[str, pa.DataType, bool], ...] = (
    ("media", pa.string(), True),
    ("frames", pa.int32(), True),
    ("fps", pa.float32(), True),
    ("duration", pa.float32(), True),
    ("audio_path", pa.string(), True),
    ("audio_sha256", pa.string(), True),
    ("fake_segments", pa.list_(pa.float32()), True),
)
"""frames: of the picture. fps: mean frames a second. duration: seconds of the picture. audio_path,
audio_sha256: a file of sound beside the clip, and its digest; null where the sound is in the clip.
fake_segments: start and end of each forged part, seconds from the clip's start, one after another; null where
the source does not say.
"""
CLIP_COLUMNS = tuple(name for name, _, _ in CLIP_FIELDS)
OF_CLIPS = CLIP_COLUMNS[1:]
"""The columns that an image has no value for."""
SLACK = 0.5
"""Seconds by which a forged part may end after the picture: sound is often a little longer."""
Check = tuple[str, str, list[bool]]


def values_of(table: pa.Table, name: str) -> list[Any]:
    """The values of a column, nulls where an older manifest lacks it."""
    return list(table.column(name).to_pylist()) if name in table.column_names else [None] * table.num_rows


def _segments_fit(segments: list[float] | None, label: int, duration: float | None) -> bool:
    """Whether forged parts are pairs in order, inside the clip, and of a fake."""
    if segments is None:
        return True
    if label == 0:
        return not segments
    if len(segments) % 2 or any(value is None for value in segments):
        return False
    inside = all(0 <= value <= (duration or 0) + SLACK for value in segments)
    return inside and all(a <= b for a, b in pairwise(segments))


def clip_checks(table: pa.Table) -> list[Check]:
    """(code, message, whether each row breaks it) of what a clip must have and an image must not."""
    columns = {name: values_of(table, name) for name in CLIP_COLUMNS}
    clip = [media == VIDEO for media in columns["media"]]
    facts = list(zip(*(columns[name] for name in ("frames", "fps", "duration")), strict=True))
    others = list(zip(*(columns[name] for name in OF_CLIPS), strict=True))
    labels = table.column("label").to_pylist()
    return [
        (
            "bad-media",
            f"media is not one of {', '.join(MEDIA)}",
            [media is not None and media not in MEDIA for media in columns["media"]],
        ),
        (
            "clip-facts",
            "a clip must have frames, fps and duration, all above 0",
            [
                one and not all(value is not None and value > 0 for value in known)
                for one, known in zip(clip, facts, strict=True)
            ],
        ),
        (
            "image-facts",
            f"an image has no {', '.join(OF_CLIPS)}",
            [
                not one and any(value is not None for value in known)
                for one, known in zip(clip, others, strict=True)
            ],
        ),
        (
            "bad-segments",
            "fake_segments are not starts and ends in order inside the clip, or are those of a real clip",
            [
                one and not _segments_fit(found, label, seconds)
                for one, found, label, seconds in zip(
                    clip, columns["fake_segments"], labels, columns["duration"], strict=True
                )
            ],
        ),
    ]


def _is_clip(table: pa.Table) -> pa.ChunkedArray:
    return pc.fill_null(pc.equal(table.column("media"), VIDEO), False)


def image_rows(table: pa.Table) -> pa.Table:
    """The rows that are images."""
    if "media" not in table.column_names or table.column("media").null_count == table.num_rows:
        return table
    clip = _is_clip(table)
    return table.filter(pc.invert(clip)) if pc.any(clip).as_py() else table


def clip_rows(table: pa.Table) -> pa.Table:
    """The rows that are clips."""
    if image_rows(table) is table:
        return table.slice(0, 0)
    return table.filter(_is_clip(table))
