"""Pictures through H.264, as in the videos that other labs publish: `crf` 23 (c23) and 40 (c40) of
FaceForensics++.

Each picture is one intra frame of its own, 4:2:0, libx264 at preset medium, one thread: the same pixels give
the same result whatever stands beside them. The package `av` is an extra (`fairforge[video]`).
"""

from __future__ import annotations

import importlib
import importlib.util
import io
from fractions import Fraction
from typing import Any

import numpy as np

from manifests.errors import MissingError, UsageError
from manifests.images import Image

MAX_CRF = 51
LEVELS = {"c23": 23, "c40": 40}
"""The names of FaceForensics++ (Rössler et al. 2019) for its compression levels, as constant rate factors."""


def video_library(what: str = "reading videos", instead: str = "") -> Any:
    """The package `av`; `what` needs it, and `instead` is another way out.

    Raises:
        MissingError: it is not installed.
    """
    if importlib.util.find_spec("av") is None:
        raise MissingError(
            what, "needs the package 'av', which is not installed", f"pip install 'fairforge[video]'{instead}"
        )
    return importlib.import_module("av")


def through_h264(image: Image, crf: int) -> Image:
    """A picture as it comes back from H.264.

    Args:
        image: uint8 [H, W, 3] RGB; an odd side is padded by its last row or column while encoded.
        crf: constant rate factor, 0 (best) to 51.

    Returns:
        uint8 [H, W, 3] RGB.

    Raises:
        UsageError: a crf out of range, or another kind of image. MissingError: `av` or its libx264 is not
            there.
    """
    if not 0 <= crf <= MAX_CRF:
        raise UsageError(
            f"crf {crf}", "is out of range", f"give 0 to {MAX_CRF}; FaceForensics++ has {LEVELS}"
        )
    if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3:
        raise UsageError(
            f"image {image.dtype} {list(image.shape)}", "cannot be encoded", "give uint8 [H, W, 3]"
        )
    av = video_library("H.264")
    height, width = image.shape[:2]
    even = np.pad(image, ((0, height % 2), (0, width % 2), (0, 0)), mode="edge")
    buffer = io.BytesIO()
    try:
        with av.open(buffer, "w", format="matroska", metadata_errors="ignore") as container:
            stream = container.add_stream("libx264", rate=Fraction(25))
            stream.width, stream.height, stream.pix_fmt = even.shape[1], even.shape[0], "yuv420p"
            stream.options = {"crf": str(crf), "preset": "medium", "threads": "1"}
            for frame in (av.VideoFrame.from_ndarray(np.ascontiguousarray(even), format="rgb24"), None):
                for packet in stream.encode(frame):
                    container.mux(packet)
    except (av.error.FFmpegError, ValueError) as error:
        raise MissingError(
            "H.264", f"cannot be encoded by this build of av ({error})", "pip install 'fairforge[video]'"
        ) from error
    buffer.seek(0)
    with av.open(buffer, metadata_errors="ignore") as container:
        decoded: Image = next(container.decode(video=0)).to_ndarray(format="rgb24")
    return decoded[:height, :width].copy()
