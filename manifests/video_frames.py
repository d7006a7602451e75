"""Frames of a video as upright pictures, evenly spaced, by the optional package `av`."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from manifests.errors import DataError, UsageError
from manifests.h264 import video_library
from manifests.images import Image

VIDEO_SUFFIXES = {".mp4", ".avi", ".mov", ".mkv", ".webm", ".m4v", ".mpg", ".mpeg", ".wmv", ".flv"}


def evenly(total: int, count: int) -> list[int]:
    """At most `count` distinct indices spread evenly over `total`, each in the middle of its share."""
    count = min(count, total)
    return [(2 * k + 1) * total // (2 * count) for k in range(count)]


def frames_of(path: Path, count: int, instead: str = "") -> Iterator[tuple[int, Image]]:
    """`(number, uint8 [H, W, 3] RGB)` of `count` evenly spaced frames, rotated as the file asks; fewer where it ends early.

    One frame is held at a time. instead: another way out, for a machine without `av`.

    Raises:
        MissingError: `av` is not installed. DataError: not there, not a video, or without a frame. UsageError: count below 1.
    """
    if count < 1:
        raise UsageError(f"--frames {count}", "is below 1", "give the number of frames to look at")
    av = video_library(str(path), instead)
    given = 0
    try:
        with av.open(str(path)) as container:
            total = container.streams.video[0].frames or sum(1 for _ in container.decode(video=0))
        wanted = set(evenly(total, count))
        with av.open(str(path)) as container:
            for number, frame in enumerate(container.decode(video=0)):
                if number in wanted:
                    given += 1
                    turns = round((getattr(frame, "rotation", 0) or 0) / 90) % 4
                    yield number, np.ascontiguousarray(np.rot90(frame.to_ndarray(format="rgb24"), turns))
    except (av.error.FFmpegError, IndexError, OSError) as error:
        raise DataError(str(path), f"is not a readable video ({error})", "remove the file or fetch it again") from error
    if not given:
        raise DataError(str(path), "has no frame", "remove the file or fetch it again")
