"""What a picture file says beside its pixels: the orientation is read here, a decoder sees none of it.

Cameras and editors write tags that decoders fail on, and a hostile file may let them allocate gigabytes.
Pixels need none of them, so `bare` gives a decoder the file without: JPEG loses its application segments but
for JFIF and Adobe (which say what the numbers mean), TIFF all tags that its pixels do not need and every
further page, PNG its animation. The orientation is read by the few lines below, which look at one tag alone.
EXIF 2.32, sections 4.5 and 4.6; TIFF 6.0, section 2; BigTIFF; JPEG (ISO 10918-1), annex B; PNG, section 5.3.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

ORIENTATION = 274
_SIZES = {
    1: 1,
    2: 1,
    3: 2,
    4: 4,
    5: 8,
    6: 1,
    7: 1,
    8: 2,
    9: 4,
    10: 8,
    11: 4,
    12: 8,
    13: 4,
    16: 8,
    17: 8,
    18: 8,
}
"""Bytes of one value of each TIFF type."""
_WHOLE = {1: "B", 3: "H", 4: "I", 6: "b", 8: "h", 9: "i", 16: "Q"}
_PIXEL_TAGS = frozenset(
    (
        256,
        257,
        258,
        259,
        262,
        266,
        273,
        277,
        278,
        279,
        284,
        292,
        293,
        317,
        320,
        322,
        323,
        324,
        325,
        332,
        338,
        339,
        340,
        341,
        347,
        512,
        513,
        514,
        515,
        519,
        520,
        521,
        529,
        530,
        532,
    )
)
"""Size, samples, compression, strips, tiles, predictor, colour map, inks, sample format, JPEG, YCbCr."""
_ONE_VALUE = frozenset(
    (
        256,
        257,
        259,
        262,
        266,
        277,
        278,
        284,
        292,
        293,
        317,
        322,
        323,
        332,
        512,
        513,
        514,
        515,
    )
)
STEPS = 20_000
"""Segments of a JPEG's head and chunks of a PNG: what 1 GiB in pieces of 64 KiB needs, and some more."""
_XMP_ORIENTATION = re.compile(rb"tiff:Orientation(?:=[\"']|>)([1-8])")


@dataclass(frozen=True)
class _Entry:
    """One tag. at: of its record in the file. start: of its values. size: their bytes."""

    tag: int
    kind: int
    count: int
    at: int
    start: int
    size: int

    @property
    def inline(self) -> bool:
        """Whether the values stand in the record itself."""
        return 0 < self.start - self.at <= 12


@dataclass(frozen=True)
class _Directory:
    """The first directory of a TIFF structure. order: of bytes, as `struct` writes it. at: of its count."""

    order: str
    big: bool
    at: int
    entries: tuple[_Entry, ...]

    @property
    def width(self) -> int:
        """Bytes of a tag's record."""
        return 20 if self.big else 12

    @property
    def first(self) -> int:
        """Where the first record is."""
        return self.at + (8 if self.big else 2)


def _directory(data: bytes) -> _Directory | None:
    """The directory of a TIFF structure, as far as the bytes go; None where they are no such structure."""
    order = {b"II": "<", b"MM": ">"}.get(bytes(data[:2]))
    if order is None or not {0x2A, 0x2B} & set(data[2:4]):
        return None
    big = data[2] == 0x2B  # as Pillow has it: it reads no BigTIFF of the other byte order
    if len(data) < (16 if big else 8):
        return _Directory(order, big, 0, ())
    (at,) = struct.unpack_from(order + ("Q" if big else "I"), data, 8 if big else 4)
    head = struct.Struct(order + ("Q" if big else "H"))
    if at + head.size > len(data):
        return _Directory(order, big, at, ())
    (count,) = head.unpack_from(data, at)
    record = struct.Struct(order + ("HHQ" if big else "HHI"))
    place = struct.Struct(order + ("Q" if big else "I"))
    entries = []
    for where in range(at + head.size, at + head.size + count * (20 if big else 12), 20 if big else 12):
        if where + record.size + place.size > len(data):
            break
        tag, kind, number = record.unpack_from(data, where)
        size, start = number * _SIZES.get(kind, 0), where + record.size
        if size > place.size:
            (start,) = place.unpack_from(data, start)
        entries.append(_Entry(tag, kind, number, where, start, size))
    return _Directory(order, big, at, tuple(entries))


def _turn(block: bytes) -> int | None:
    """The orientation in a TIFF structure, 1 to 8; None where it has none, or another value."""
    found = _directory(block)
    out = None
    for entry in found.entries if found else ():
        if entry.tag == ORIENTATION and entry.kind in _WHOLE and entry.count:
            code = struct.Struct(found.order + _WHOLE[entry.kind])  # type: ignore[union-attr]
            if entry.start + code.size <= len(block):
                (out,) = code.unpack_from(block, entry.start)
    return out if out in range(1, 9) else None


def _exif_turn(block: bytes) -> int | None:
    return _turn(block[6:] if block.startswith(b"Exif\0\0") else block)


def _xmp_turn(text: bytes) -> int | None:
    found = _XMP_ORIENTATION.search(text)
    return int(found[1]) if found else None


def tag_count(block: bytes) -> int:
    """How many different tags an EXIF block has in its first directory."""
    found = _directory(block[6:] if block.startswith(b"Exif\0\0") else block)
    return len({entry.tag for entry in found.entries}) if found else 0


def orientation_of(info: Mapping[Any, Any]) -> int:
    """The EXIF orientation, 1 to 8, in what Pillow calls a picture's `info` (PNG, WEBP); 1 without any.

    ImageMagick writes EXIF into PNG as hexadecimal text; XMP counts where EXIF is silent.
    """
    block = info.get("exif")
    if not isinstance(block, bytes) and "Raw profile type exif" in info:
        try:
            block = bytes.fromhex("".join(str(info["Raw profile type exif"]).split("\n")[3:]))
        except ValueError:
            block = b""
    xmp = info.get("xmp") or info.get("XML:com.adobe.xmp") or b""
    text = xmp if isinstance(xmp, bytes) else str(xmp).encode("utf-8", "replace")
    return (_exif_turn(block) if isinstance(block, bytes) else None) or _xmp_turn(text) or 1


def _segments(data: bytes) -> Iterator[tuple[int, int, int]]:
    """(marker, start, end) of the segments of a JPEG before its first scan. Junk between them is passed.

    Raises:
        ValueError: more steps than any encoder makes.
    """
    at = 2
    for _ in range(STEPS):
        at = data.find(b"\xff", at)
        if at < 0 or at + 4 > len(data):
            return
        marker = data[at + 1]
        if marker == 0xFF:  # a fill byte
            at += 1
        elif marker <= 0x01 or 0xD0 <= marker <= 0xD9:  # escaped, or a marker that stands alone
            at += 2
        else:
            end = at + 2 + int.from_bytes(data[at + 2 : at + 4], "big")
            if marker == 0xDA or end > len(data) or end < at + 4:
                return
            yield marker, at, end
            at = end
    raise ValueError(f"its head has more than {STEPS} parts")


def _bare_jpeg(data: bytes) -> tuple[bytes, int]:
    kept, exif, xmp, rest = [data[:2]], b"", b"", 2
    for marker, start, end in _segments(data):
        rest = end
        body = data[start + 4 : end]
        if 0xE1 <= marker <= 0xED or marker in (0xEF, 0xFE):
            if body.startswith(b"Exif\0\0"):
                exif += body[6:]
            elif body.startswith(b"http://ns.adobe.com/xap/"):
                xmp += body
        else:
            kept.append(data[start:end])
    return b"".join([*kept, data[rest:]]), _turn(exif) or _xmp_turn(xmp) or 1


def _bare_tiff(data: bytes) -> tuple[bytes, int]:
    found = _directory(data)
    if found is None:
        return data, 1
    if not found.entries:
        raise ValueError("truncated: its directory is not in the file")
    entries = [
        e
        for e in found.entries
        if e.tag in _PIXEL_TAGS
        and e.start + e.size <= len(data)
        and (e.count == 1 or e.tag not in _ONE_VALUE or e.inline)
    ]
    if sum(e.size for e in entries) > len(data):  # many tags that name the same bytes: each would be copied
        raise ValueError("its tags are larger than the file")
    xmp = next((data[e.start : e.start + e.size] for e in found.entries if e.tag == 700), b"")
    out = bytearray(data)
    end = found.first
    for entry in entries:
        out[end : end + found.width] = data[entry.at : entry.at + found.width]
        if entry.tag in _ONE_VALUE:
            struct.pack_into(found.order + ("Q" if found.big else "I"), out, end + 4, 1)
        end += found.width
    struct.pack_into(found.order + ("Q" if found.big else "H"), out, found.at, len(entries))
    last = 8 if found.big else 4
    out[end : end + last] = bytes(last)  # no further page; where the file ends here it grows
    return bytes(out), _turn(data) or _xmp_turn(xmp) or 1


def _bare_png(data: bytes) -> bytes:
    kept, at = [data[:8]], 8
    while at + 12 <= len(data):
        end = at + 12 + int.from_bytes(data[at : at + 4], "big")
        if data[at + 4 : at + 8] not in (b"acTL", b"fcTL", b"fdAT"):
            kept.append(data[at:end])
        at = end
    return b"".join([*kept, data[at:]])


def counted(data: bytes) -> tuple[bytes, int | None]:
    """A picture file whose metadata no decoder stumbles over, and how many EXIF tags it has.

    Unlike `bare` it keeps the parts of a JPEG, with EXIF's own bytes zeroed. None: `tag_count` of Pillow's
    `info` has to tell.

    Raises:
        ValueError: as `bare`.
    """
    if not data.startswith(b"\xff\xd8"):
        return bare(data)[0], tag_count(data) if data[:2] in (b"II", b"MM") else None
    out, exif = bytearray(data), b""
    for marker, start, end in _segments(data):
        if marker == 0xE1 and data[start + 4 : end].startswith(b"Exif\0\0"):
            exif += data[start + 10 : end]
            out[start + 10 : end] = bytes(end - start - 10)
    return bytes(out), tag_count(exif)


def bare(data: bytes) -> tuple[bytes, int | None]:
    """A picture file without what its pixels do not need, and its orientation.

    Args:
        data: an encoded picture of any format.

    Returns:
        The file, for a decoder: that of JPEG, TIFF and PNG is changed. The orientation, 1 to 8, where this
        file had it taken out (JPEG, TIFF); None where `orientation_of` has to look for it.

    Raises:
        ValueError: a structure that no decoder should see, with the reason.
    """
    if data.startswith(b"\xff\xd8"):
        return _bare_jpeg(data)
    if data[:2] in (b"II", b"MM"):
        return _bare_tiff(data)
    if data.startswith(b"\x89PNG\r\n\x1a\n"):
        return _bare_png(data), None
    return data, None
