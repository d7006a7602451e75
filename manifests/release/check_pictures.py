"""Are the pictures of a release those that their rows describe? They decode, have the size and codec of the
row, and masks fit.
"""

from __future__ import annotations

from collections import defaultdict
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from manifests.clip_columns import VIDEO, image_rows
from manifests.clips.facts import clip_facts, sound_facts
from manifests.columns import counted, rows_of
from manifests.containment import inside
from manifests.errors import MissingError, UserError
from manifests.images import Image, decode, opened, read_bytes, read_mask
from manifests.schema import Finding, with_later_columns
from manifests.store import read_table
from manifests.watching import watched

CODECS = {"JPEG": "jpeg", "MPO": "jpeg", "PNG": "png", "WEBP": "webp"}
"""The `codec` of a picture's format, where it is one that this program writes."""
MESSAGES = {
    "unreadable-image": "an image does not decode",
    "unreadable-clip": "a clip cannot be read",
    "wrong-size": "an image is not as large as its row says",
    "wrong-codec": "an image is of another codec than its row says",
    "missing-mask": "a mask that a row names is not there",
    "unreadable-mask": "a mask does not decode",
    "wrong-mask": "a mask is of another size than its image, or marks nothing",
    "mask-of-real": "a real image has a mask of what was changed",
    "same-image": "the same bytes stand in two splits, or as real and as fake",
}
Row = dict[str, Any]


def check_pictures(folder: Path) -> list[Finding]:
    """Findings about the pictures, masks and clips of a release whose manifest is valid; `ids` are image_ids.

    Raises:
        MissingError: there are clips, and `av` is not installed.
    """
    table = with_later_columns(read_table(folder / "manifest.parquet"))
    columns = [
        "image_id",
        "path",
        "label",
        "width",
        "height",
        "codec",
        "mask_path",
        "media",
        "audio_path",
        "sha256",
    ]
    bad: dict[str, list[str]] = defaultdict(list)
    for row in watched(rows_of(table, columns), "checking", "files", total=table.num_rows):
        for code in _clip(folder, row) if row["media"] == VIDEO else _image(folder, row):
            bad[code].append(row["image_id"])
    bad["same-image"] = _twice(table)
    return [
        Finding(code, message, len(bad[code]), tuple(bad[code][:5]))
        for code, message in MESSAGES.items()
        if bad[code]
    ]


def _clip(folder: Path, row: Row) -> list[str]:
    try:
        clip_facts(inside(folder, row["path"]))
        if row["audio_path"] is not None:
            sound_facts(inside(folder, row["audio_path"]))
    except UserError:
        return ["unreadable-clip"]
    return []


def _image(folder: Path, row: Row) -> list[str]:
    try:
        data = read_bytes(inside(folder, row["path"]), row["sha256"])
        image = decode(data, row["path"])
        with opened(data, row["path"]) as picture:
            codec = CODECS.get(str(picture.format))
    except UserError:
        return ["unreadable-image"]
    out = []
    if any(
        given is not None and given != size
        for given, size in zip((row["height"], row["width"]), image.shape[:2], strict=True)
    ):
        out.append("wrong-size")
    if row["codec"] in CODECS.values() and row["codec"] != codec:  # h264 is what a lossless file went through
        out.append("wrong-codec")
    return out + (_mask(folder, row, image) if row["mask_path"] is not None else [])


def _mask(folder: Path, row: Row, image: Image) -> list[str]:
    if row["label"] == 0:
        return ["mask-of-real"]
    try:
        mask = read_mask(inside(folder, row["mask_path"]))
    except MissingError:
        return ["missing-mask"]
    except UserError:
        return ["unreadable-mask"]
    return [] if mask.shape == image.shape[:2] and np.any(mask) else ["wrong-mask"]


def _twice(table: pa.Table) -> list[str]:
    """image_ids of images whose bytes are those of an image of another split or label."""
    rows = image_rows(table).select(["image_id", "sha256", "split", "label"])
    twice = [sha256 for sha256, count in counted(rows["sha256"]).items() if count > 1 and sha256 is not None]
    kinds: dict[str, set[tuple[Any, Any]]] = defaultdict(set)
    same = rows.filter(pc.is_in(rows["sha256"], value_set=pa.array(twice, pa.string()))).to_pylist()
    for row in same:
        kinds[row["sha256"]].add((row["split"], row["label"]))
    return [row["image_id"] for row in same if len(kinds[row["sha256"]]) > 1]
