"""Frames of a video as upright pictures, evenly spaced, by the optional package `av`.

A video is opened by an explicit list of containers and as a plain file: FFmpeg knows hundreds of formats,
among them playlists that name other files and addresses on the network. Tags are not looked at. What is shown
is the first stream that is no cover picture, turned and mirrored as its display matrix says (ISO 14496-12,
section 6.2.2).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from manifests.errors import DataError, UsageError
from manifests.escaping import printable
from manifests.h264 import video_library
from manifests.images import DECODER_ERRORS, Image
from manifests.mp4_tables import too_many_samples

VIDEO_SUFFIXES = {".mp4", ".avi", ".mov", ".mkv", ".webm", ".m4v", ".mpg", ".mpeg", ".wmv", ".flv"}
CONTAINERS = ("mov", "mp4", "matroska", "webm", "avi", "mpeg", "mpegts", "mpegvideo", "asf", "flv")
"""FFmpeg's names of the containers that are read, by content; any other is refused, whatever its ending."""
MAX_FRAME_PIXELS = 100_000_000
MAX_FRAMES = 2_000_000
"""Of one video, declared or decoded: 18 hours at 30 a second."""
FETCH = "remove the file or fetch it again"
_SYMMETRIES = tuple(
    np.array(rows)
    for signs in product((1, -1), repeat=2)
    for rows in (((signs[0], 0), (0, signs[1])), ((0, signs[0]), (signs[1], 0)))
)
"""The eight ways to lay a rectangle on its grid: [[a, b], [c, d]] takes (x, y) to (ax + cy, bx + dy)."""


def evenly(total: int, count: int) -> list[int]:
    """At most `count` distinct indices spread evenly over `total`, each in the middle of its share."""
    count = min(count, total)
    return [(2 * k + 1) * total // (2 * count) for k in range(count)]


def upright(image: Image, matrix: npt.NDArray[np.floating[Any]]) -> Image:
    """A decoded frame as its display matrix shows it, by the nearest turn of 90 degrees, mirrored or not.

    Args:
        image: uint8 [H, W, 3].
        matrix: float [2, 2], `[[a, b], [c, d]]` of the display matrix: (x, y) goes to (ax + cy, bx + dy), y
            down.

    Returns:
        uint8 [H, W, 3], or [W, H, 3] where it lies on its side.
    """
    fits = [float((matrix * way).sum()) for way in _SYMMETRIES]
    way = _SYMMETRIES[int(np.argmax(fits))] if np.isfinite(fits).all() and max(fits) > 0 else np.eye(2)
    if way[0, 0] == 0:  # rows become columns
        image = image.transpose(1, 0, 2)
    across, down = way.sum(axis=0)
    return np.ascontiguousarray(image[:: int(down), :: int(across)])


def matrix_of(frame: Any) -> npt.NDArray[np.floating[Any]]:
    """[[a, b], [c, d]] of a frame's display matrix; the identity where it has none."""
    for side in frame.side_data:
        if side.type.name == "DISPLAYMATRIX":
            a, b, _, c, d = np.frombuffer(bytes(side), "=i4")[:5].astype(np.float64)
            return np.array([[a, b], [c, d]])
    return np.eye(2)


def pictures_of(container: Any, name: str) -> Any:
    """The first video stream that is no cover picture.

    Raises:
        DataError: there is none, or its frames are too large or too many.
    """

    def cover(stream: Any) -> bool:
        disposition = getattr(stream, "disposition", None)  # av before 14 does not tell
        return disposition is not None and bool(disposition & type(disposition).attached_pic)

    stream = next((one for one in container.streams.video if not cover(one)), None)
    if stream is None:
        raise DataError(name, "has no video stream", FETCH)
    if stream.codec_context is None:
        raise DataError(name, "has a video codec that is not known", "save it as H.264")
    width, height = stream.codec_context.width, stream.codec_context.height
    if not 0 < width * height <= MAX_FRAME_PIXELS:
        size = f"frames of {width} x {height} pixels" if width else "frames without size, or larger ones"
        why = f"has {size}; up to {MAX_FRAME_PIXELS / 1e6:g} megapixels are read"
        raise DataError(name, why, "scale it down first")
    if stream.frames > MAX_FRAMES:
        why = f"says it has {stream.frames} frames, more than {MAX_FRAMES} are not read"
        raise DataError(name, why, "cut it first")
    stream.codec_context.options = {"max_pixels": str(MAX_FRAME_PIXELS)}
    return stream


@contextmanager
def container_of(av: Any, path: Path, containers: Sequence[str] = CONTAINERS) -> Iterator[Any]:
    """An open media file of one of the `containers`; every media file is opened here.

    What the demuxer or a decoder finds wrong with it, also inside the `with`, is a DataError.

    Raises:
        DataError: not there, of another container, damaged, or with tables of too many samples.
    """
    name = printable(str(path))
    if not path.is_file():
        raise DataError(name, "is not there, or is no file", "check the path")
    if not path.stat().st_size:
        raise DataError(name, "is not a readable video (it is empty)", FETCH)
    options = {
        "protocol_whitelist": "file",
        "format_whitelist": ",".join(containers),
        "max_pixels": str(MAX_FRAME_PIXELS),
    }
    try:
        if reason := too_many_samples(path, MAX_FRAMES):
            raise DataError(name, reason, "save it again, or cut it first")
        with av.open(f"file:{path.absolute()}", metadata_errors="ignore", options=options) as container:
            yield container
    except (av.error.FFmpegError, *DECODER_ERRORS) as error:
        words = str(getattr(error, "strerror", None) or error)  # FFmpeg's full message has the path as well
        raise DataError(name, f"is not a readable video ({printable(words)[:200]})", FETCH) from error


@contextmanager
def _opened(av: Any, path: Path) -> Iterator[tuple[Any, Any]]:
    """(container, stream) of a video file."""
    with container_of(av, path) as container:
        yield container, pictures_of(container, printable(str(path)))


def _counted(container: Any, stream: Any, name: str) -> int:
    """How many frames a stream has: as its file says, else by decoding it."""
    if stream.frames:
        return int(stream.frames)
    total = 0
    for _ in container.decode(stream):
        total += 1
        if total > MAX_FRAMES:
            raise DataError(name, f"has more than {MAX_FRAMES} frames, which are not read", "cut it first")
    return total


def frames_of(path: Path, count: int, instead: str = "") -> Iterator[tuple[int, Image]]:
    """`(number, uint8 [H, W, 3] RGB)` of `count` evenly spaced frames, upright; fewer where it ends early.

    One frame is held at a time.

    Args:
        path: of a video file.
        count: how many frames are taken.
        instead: another way out, for a machine without `av`.

    Raises:
        MissingError: `av` is not installed. DataError: not there, not a video, without a frame, or larger
        than
            `MAX_FRAME_PIXELS` and `MAX_FRAMES`. UsageError: count below 1.
    """
    if count < 1:
        raise UsageError(f"--frames {count}", "is below 1", "give the number of frames to look at")
    av = video_library(str(path), instead)
    name, given = printable(str(path)), 0
    with _opened(av, path) as (container, stream):
        total = _counted(container, stream, name)
    wanted = evenly(total, count)
    with _opened(av, path) as (container, stream):
        left = set(wanted)
        for number, frame in enumerate(container.decode(stream) if wanted else ()):
            if number in left:
                given += 1
                yield number, upright(frame.to_ndarray(format="rgb24"), matrix_of(frame))
            if number == wanted[-1]:
                break
    if not given:
        why = f"ends before the first of {len(wanted)} frames asked for" if total else "has no frame"
        raise DataError(name, why, FETCH)
