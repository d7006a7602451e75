"""A clip into a manifest: its file is linked or copied as it is, and its packets say what it holds."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from manifests.adapters.base import SourceImage, carried_over
from manifests.atomic import atomic_path, digest_file
from manifests.clip_columns import VIDEO
from manifests.clips.facts import clip_facts, sound_facts
from manifests.errors import DataError, MissingError
from manifests.records import ImageRecord


def linked(source: Path, target: Path) -> None:
    """A hard link to a file, or its copy where links do not reach."""
    with atomic_path(target) as temporary:
        temporary.unlink(missing_ok=True)
        try:
            os.link(os.path.realpath(source), temporary)  # of the file itself, where the dataset has links
        except OSError:
            shutil.copyfile(source, temporary)


def clip_record(item: SourceImage, image_id: str, adapter: str, out: Path) -> ImageRecord:
    """The row of a clip, its file below `out/clips/` and its sound, where that is a file, beside it.

    Raises:
        MissingError: the file, or `av`, is not there. DataError: no readable clip, no sound, or no sound that
            goes with it.
    """
    if item.problem is not None:
        raise DataError(item.key, item.problem, "fetch it again, or drop its row")
    if item.path is None or not item.path.is_file():
        raise MissingError(item.key, "is not there", "fetch it, or drop its row")
    facts = clip_facts(item.path)
    sound = sound_facts(item.audio) if item.audio is not None else facts.sound
    if sound is None:
        raise DataError(item.key, "has no sound", "leave it out, or give its sound as a file")
    stem = f"clips/{image_id[:2]}/{image_id}"
    path = f"{stem}{item.path.suffix.lower()}"
    linked(item.path, out / path)
    heard = f"{stem}.sound{item.audio.suffix.lower()}" if item.audio is not None else None
    if item.audio is not None and heard is not None:
        linked(item.audio, out / heard)
    return ImageRecord(
        image_id=image_id,
        path=path,
        sha256=digest_file(out / path),
        width=facts.width,
        height=facts.height,
        media=VIDEO,
        frames=facts.frames,
        fps=facts.fps,
        duration=facts.duration,
        audio_path=heard,
        audio_sha256=digest_file(out / heard) if heard is not None else None,
        fake_segments=item.fake_segments,
        codec=f"{facts.codec}+{sound.codec}",
        **carried_over(item, adapter),
    )
