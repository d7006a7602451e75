"""One encoder for clips, real and fake alike: H.264 and AAC in MP4, no tags; the same input gives the same
bytes.

AAC smears sound over some 60 ms, and so fills a short silence before it. Where samples must come back as they
were, `lossless` takes ALAC.
"""

from __future__ import annotations

from collections.abc import Iterable
from fractions import Fraction
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np

from manifests.atomic import atomic_path
from manifests.clips.reading import FPS, RATE, Sound
from manifests.errors import DataError, MissingError, UsageError
from manifests.h264 import MAX_CRF, video_library
from manifests.images import Image

SOUND = {False: ("aac", "fltp", "h264+aac"), True: ("alac", "s16p", "h264+alac")}
"""Lossless or not: the encoder of sound, its kind of samples, and the codec's name in a manifest."""
CRF = 18
BIT_RATE = 64_000
X264 = "sync-lookahead=0:no-mbtree=1"
"""x264's macroblock tree reads, at the edges of small frames, what it never wrote: bytes would differ from
call to call.
"""
BLOCK = 1024
"""Samples of one AAC frame."""


def _even(image: Image) -> Image:
    height, width = image.shape[:2]
    return np.ascontiguousarray(np.pad(image, ((0, height % 2), (0, width % 2), (0, 0)), mode="edge"))


_TO_YUV = (
    np.array([[65.738, 129.057, 25.064], [-37.945, -74.494, 112.439], [112.439, -94.154, -18.285]]) / 256
)
"""Rows Y, U, V of BT.601 in video range."""


def planar(image: Image) -> Image:
    """A picture of even sides as planes of 4:2:0, BT.601: uint8 [H, W, 3] RGB to uint8 [3 H / 2, W].

    FFmpeg's own conversion depends in the last bit on where in memory a picture lies.
    """
    height, width = image.shape[:2]
    y, u, v = np.moveaxis(image.astype(np.float64) @ _TO_YUV.T, 2, 0)
    halves = [plane.reshape(height // 2, 2, width // 2, 2).mean((1, 3)) for plane in (u, v)]
    planes = [y + 16, *(half + 128 for half in halves)]
    return np.concatenate([np.rint(plane).astype(np.uint8).reshape(-1) for plane in planes]).reshape(
        -1, width
    )


def _muxed(av: Any, container: Any, stream: Any, frame: Any) -> None:
    for packet in stream.encode(frame):
        container.mux(packet)


class _SoundTrack:
    """Writes sound as far as a time."""

    def __init__(self, av: Any, container: Any, sound: Sound, lossless: bool) -> None:
        encoder, self.kind, _ = SOUND[lossless]
        self.av, self.container, self.at = av, container, 0
        self.sound = (
            sound if self.kind == "fltp" else np.round(np.clip(sound, -1, 1) * 32767).astype(np.int16)
        )
        self.stream = container.add_stream(encoder, rate=RATE)
        self.stream.layout, self.stream.format = "mono", self.kind
        if not lossless:
            self.stream.bit_rate = BIT_RATE

    def up_to(self, sample: int) -> None:
        while self.at < min(sample, len(self.sound)):
            part = self.sound[self.at : self.at + BLOCK]
            frame = self.av.AudioFrame.from_ndarray(
                np.ascontiguousarray(part[None]), format=self.kind, layout="mono"
            )
            frame.sample_rate, frame.pts, frame.time_base = RATE, self.at, Fraction(1, RATE)
            _muxed(self.av, self.container, self.stream, frame)
            self.at += len(part)

    def end(self) -> None:
        self.up_to(len(self.sound))
        _muxed(self.av, self.container, self.stream, None)


def encode_clip(
    path: Path,
    frames: Iterable[Image],
    sound: Sound | None,
    *,
    crf: int = CRF,
    lossless: bool = False,
) -> None:
    """Write a clip of 25 frames a second atomically.

    Args:
        path: to write, `.mp4`.
        frames: uint8 [H, W, 3] RGB, all of one size; an odd side gets its last row or column twice.
        sound: float32 [N] in [-1, 1] at 16 kHz from the first frame on; None for a clip without sound.
        crf: constant rate factor of H.264, 0 (best) to 51.
        lossless: sound as it is, at 16 bits.

    Raises:
        DataError: no frame. UsageError: a crf out of range. MissingError: `av`, or one of the encoders, is
            not there.
    """
    if not 0 <= crf <= MAX_CRF:
        raise UsageError(f"crf {crf}", "is out of range", f"give 0 to {MAX_CRF}")
    av = video_library("encoding clips")
    pictures = iter(frames)
    first = next(pictures, None)
    if first is None:
        raise DataError(str(path), "would have no frame", "give at least one frame")
    with atomic_path(path) as temporary:
        try:
            container = av.open(
                str(temporary), "w", format="mp4", options={"fflags": "+bitexact", "movflags": "+faststart"}
            )
        except (av.error.FFmpegError, ValueError) as error:
            raise MissingError(
                "H.264 and AAC",
                f"cannot be encoded by this build of av ({error})",
                "pip install 'fairforge[video]'",
            ) from error
        with container:
            stream = container.add_stream("libx264", rate=Fraction(FPS))
            stream.height, stream.width = _even(first).shape[:2]
            stream.pix_fmt = "yuv420p"
            stream.codec_context.thread_count = 1
            stream.options = {"crf": str(crf), "preset": "medium", "threads": "1", "x264-params": X264}
            track = _SoundTrack(av, container, sound, lossless) if sound is not None and len(sound) else None
            for number, image in enumerate(chain([first], pictures)):
                frame = av.VideoFrame.from_ndarray(planar(_even(image)), format="yuv420p")
                frame.pts, frame.time_base = number, Fraction(1, FPS)
                _muxed(av, container, stream, frame)
                if track is not None:
                    track.up_to((number + 1) * RATE // FPS)
            _muxed(av, container, stream, None)
            if track is not None:
                track.end()
