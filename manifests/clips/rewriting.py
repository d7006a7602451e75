"""Every clip of a manifest through one decode-cut-encode call, real and fake alike: the label-blind remedy
for shortcuts.

Picture at 25 frames a second, sound at 16 kHz mono from the first frame on, one encoder, one frame size, no
tags. With `trim` leading and trailing silence go, in whole frames, so that picture and sound stay in step;
with `seconds` all clips have one length. `plant` does the opposite, on purpose: silence at the start of the
fakes alone, to see whether an audit finds it.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from PIL import Image as PilImage

from manifests.atomic import digest_file, digest_value, write_json
from manifests.clip_columns import VIDEO, clip_rows
from manifests.clips.encoding import CRF, SOUND, encode_clip
from manifests.clips.files import clip_file
from manifests.clips.reading import FPS, PER_FRAME, Sound, clip_sound, frames_at
from manifests.clips.silence import frames_of_silence, leading_silence, plant_silence, trailing_silence
from manifests.containment import inside
from manifests.errors import DataError, MissingError, UsageError
from manifests.images import Image
from manifests.records import ImageRecord
from manifests.schema import metadata_of
from manifests.seeding import rng_of
from manifests.skipped import write_skipped
from manifests.store import manifest_file, read_manifest, table_of, write_manifest
from manifests.text_files import read_json
from manifests.watching import watched

VERSION = 1


@dataclass(frozen=True)
class Rewrite:
    """How clips are written.

    trim: without leading and trailing silence. seconds: length of every clip; None keeps each its own, and
    shorter ones are left out. width, height: of every frame; None: those of the first clip. crf: of H.264.
    lossless: sound as ALAC instead of AAC. plant: least and most seconds of silence at the start of the
    fakes; None for none. seed: of what is drawn.
    """

    trim: bool = False
    seconds: float | None = None
    width: int | None = None
    height: int | None = None
    crf: int = CRF
    lossless: bool = False
    plant: tuple[float, float] | None = None
    seed: int = 0

    def __post_init__(self) -> None:
        """Refuse lengths that are none.

        Raises:
            UsageError: a length or a range of silence that is not one.
        """
        if self.seconds is not None and self.seconds * FPS < 1:
            raise UsageError(
                f"--seconds {self.seconds}", "is shorter than a frame", f"give at least {1 / FPS:g}"
            )
        if self.plant is not None and not 0 < self.plant[0] <= self.plant[1]:
            raise UsageError(
                f"--plant-silence {self.plant}",
                "is no range of seconds",
                "for example --plant-silence 0.025,0.03",
            )


@dataclass(frozen=True)
class Rewritten:
    """The new manifest, how many clips it has, and (image_id, reason) of those left out."""

    manifest: Path
    clips: int
    skipped: tuple[tuple[str, str], ...]


def window(sound: Sound, frames: int, how: Rewrite) -> tuple[int, int]:
    """(first frame, frames) that are kept of a clip of so many frames and its sound.

    Raises:
        DataError: nothing is left, or less than `how.seconds`.
    """
    first = frames_of_silence(leading_silence(sound)) if how.trim else 0
    last = min(frames, len(sound) // PER_FRAME)
    if how.trim:
        heard = len(sound) / (PER_FRAME * FPS) - trailing_silence(sound)
        last = min(last, int(heard * FPS))
    wanted = round(how.seconds * FPS) if how.seconds is not None else max(last - first, 0)
    if last - first < max(wanted, 1):
        lasts = max(last - first, 0) / FPS
        raise DataError(
            "clip",
            f"has {lasts:.2f} s that can be used, {max(wanted, 1) / FPS:.2f} s are needed",
            "leave it out",
        )
    return first, wanted


def _sized(frames: Iterator[Image], size: tuple[int, int]) -> Iterator[Image]:
    for image in frames:
        if image.shape[1::-1] != size:
            image = np.array(PilImage.fromarray(image).resize(size, PilImage.Resampling.LANCZOS))
        yield image


def _moved(segments: list[float] | None, first: int, frames: int) -> list[float] | None:
    """Forged parts on the clock of a clip that was cut; parts that were cut off go."""
    if segments is None:
        return None
    out: list[float] = []
    for start, end in zip(segments[::2], segments[1::2], strict=True):
        low, high = (min(max(at - first / FPS, 0.0), frames / FPS) for at in (start, end))
        if high > low:
            out += [low, high]
    return out


def rewrite_clip(
    row: dict[str, Any], folder: Path, out: Path, size: tuple[int, int], how: Rewrite
) -> ImageRecord:
    """Write one clip below `out/clips/`; returns its row.

    Raises:
        MissingError, DataError: it cannot be read, or too little of it is left.
    """
    source = clip_file(folder, row["path"], row["sha256"])
    heard = (
        clip_file(folder, row["audio_path"], row["audio_sha256"]) if row["audio_path"] is not None else None
    )
    sound = clip_sound(source, heard)
    total = sum(1 for _ in frames_at(source))
    first, count = window(sound, total, how)
    sound = sound[first * PER_FRAME : (first + count) * PER_FRAME]
    if how.plant is not None and row["label"] == 1:
        sound = plant_silence(sound, float(rng_of(how.seed, "plant", row["image_id"]).uniform(*how.plant)))
    path = f"clips/{row['image_id'][:2]}/{row['image_id']}.mp4"
    target = inside(out, path)
    frames = _sized(islice(frames_at(source), first, first + count), size)
    encode_clip(target, frames, sound, crf=how.crf, lossless=how.lossless)
    width, height = (side + side % 2 for side in size)
    return ImageRecord(
        **{
            **row,
            "path": path,
            "sha256": digest_file(target),
            "width": width,
            "height": height,
            "frames": count,
            "fps": float(FPS),
            "duration": count / FPS,
            "audio_path": None,
            "audio_sha256": None,
            "codec": SOUND[how.lossless][2],
            "quality": how.crf,
            "fake_segments": _moved(row["fake_segments"], first, count),
            "media": VIDEO,
        }
    )


def _done(path: Path, key: str, out: Path) -> ImageRecord | None:
    """The row that an earlier call wrote, where its clip is still the one."""
    if not path.is_file():
        return None
    value = read_json(path, dict)
    if value.get("key") != key:
        return None
    record = ImageRecord(**value["row"])
    file = inside(out, record.path)
    return record if file.is_file() and digest_file(file) == record.sha256 else None


def rewrite(manifest: Path | str, out: Path, how: Rewrite) -> Rewritten:
    """Write the clips of a manifest anew below `out`; images stay behind. Called again it goes on where it
    stopped.

    Raises:
        MissingError, DataError: the manifest cannot be read, or holds no clip, or none is left. UsageError:
            `out` is its folder.
    """
    file = manifest_file(manifest)
    table = read_manifest(file)
    rows = clip_rows(table).to_pylist()
    if not rows:
        raise DataError(str(file), "holds no clip", "import some: `fairforge list adapters`")
    if os.path.realpath(out) == os.path.realpath(file.parent):
        raise UsageError(f"--out {out}", "is the manifest's own folder", "choose another one")
    size = (how.width or rows[0]["width"], how.height or rows[0]["height"])
    parts = out / "parts"
    records: list[ImageRecord] = []
    skipped: list[tuple[str, str]] = []
    for row in watched(rows, "rewriting", "clips"):
        key = digest_value(
            {
                "version": VERSION,
                "how": asdict(how),
                "size": size,
                "row": {
                    **row,
                    "fake_segments": row["fake_segments"] and [round(v, 6) for v in row["fake_segments"]],
                },
            }
        )
        part = inside(parts, f"{row['image_id']}.json")
        record = _done(part, key, out)
        if record is None:
            try:
                record = rewrite_clip(row, file.parent, out, size, how)
            except (MissingError, DataError) as error:
                skipped.append((row["image_id"], error.why))
                continue
            write_json(part, {"key": key, "row": record.model_dump()})
        records.append(record)
    write_skipped(out / "skipped.csv", skipped)
    if not records:
        raise DataError(str(file), f"gave no clip ({skipped[0][1]})", f"see {out / 'skipped.csv'}")
    meta = metadata_of(table)
    made: pa.Table = table_of(records, taxonomy=meta.get("taxonomy", ""))
    write_manifest(made, out / "manifest.parquet")
    return Rewritten(out / "manifest.parquet", len(records), tuple(skipped))
