"""Frames of a video as pictures, upright, by the optional package `av`."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from manifests.adapters.videos import evenly
from manifests.errors import DataError, UsageError
from manifests.h264 import video_library
from manifests.images import Image

VIDEO_SUFFIXES = {".mp4", ".mov", ".mkv", ".webm", ".avi", ".m4v"}


def frames_of(path: Path, count: int) -> Iterator[tuple[int, Image]]:
    """`(number, uint8 [H, W, 3] RGB)` of `count` evenly spaced frames, rotated as the file asks.

    The video is decoded twice: once to count, once to take; one frame is held at a time.

    Raises:
        MissingError: `av` is not installed. DataError: not a readable video. UsageError: count below 1.
    """
    if count < 1:
        raise UsageError(f"--frames {count}", "is below 1", "give the number of frames to look at")
    av = video_library(str(path))
    given = 0
    try:
        with av.open(str(path)) as container:
            total = sum(1 for _ in container.decode(video=0))
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
        raise DataError(str(path), "is a video without frames", "remove the file or fetch it again")
