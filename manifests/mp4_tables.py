"""What an MP4 or QuickTime file says of its samples, asked before a demuxer makes a table of them.

A file of some kilobytes can declare hundreds of millions of samples, and the demuxer allocates an entry for
each. ISO 14496-12, sections 8.7.3 (`stsz`) and 8.8.8 (`trun`); QuickTime's compressed header (`cmov`) hides
both.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

BOXES = 1_000_000
HEADER_BYTES = 256 << 20


def _headers(file: BinaryIO, size: int) -> Iterator[tuple[int, bytes, int]]:
    """(bytes of the body, its kind, where it starts) of the boxes at the top, as far as they go."""
    at = 0
    for _ in range(BOXES):
        file.seek(at)
        head = file.read(16)
        if len(head) < 8:
            return
        length, start = int.from_bytes(head[:4], "big"), at + 8
        if length == 1 and len(head) == 16:
            length, start = int.from_bytes(head[8:], "big"), at + 16
        end = min(size, at + length) if length else size
        if end < start:
            return
        yield end - start, head[4:8], start
        at = end


def _places(data: bytes, kind: bytes, length: int) -> Iterator[int]:
    """Where the body of every box of a kind starts, with `length` bytes of it there."""
    at = data.find(kind)
    while at >= 0:
        if at + 4 + length <= len(data):
            yield at + 4
        at = data.find(kind, at + 4)


def _excess(data: bytes, size: int, most: int) -> str | None:
    for at in _places(data, b"stsz", 12):
        each, count = struct.unpack_from(">II", data, at + 4)
        handler = data.rfind(b"hdlr", 0, at)
        sound = handler >= 0 and data[handler + 12 : handler + 16] == b"soun"
        if each * count > size:
            return f"says it has {count} samples of {each} bytes, more than the file is long"
        if count > most and not sound:
            return f"says it has {count} frames, more than {most} are not read"
    for at in _places(data, b"trun", 8):
        (count,) = struct.unpack_from(">I", data, at + 4)
        if count > most:
            return f"says it has {count} frames in one fragment, more than {most} are not read"
    return "has a compressed header, which is not read" if b"cmov" in data else None


def too_many_samples(path: Path, most: int) -> str | None:
    """Why the tables of an MP4 or QuickTime file are not to be built; None where they may, and for files
    without.

    Args:
        path: of a file.
        most: frames that a video may have.

    Raises:
        OSError: it cannot be read.
    """
    size = path.stat().st_size
    with open(path, "rb") as file:
        for length, kind, start in _headers(file, size):
            if kind not in (b"moov", b"moof"):
                continue
            if length > HEADER_BYTES:
                return f"has a header of {length} bytes, more than {HEADER_BYTES >> 20} MiB are not read"
            file.seek(start)
            reason = _excess(file.read(length), size, most)
            if reason is not None:
                return reason
    return None
