"""Picture files for the tests of readers: of every kind that is read, and of kinds that no reader may
open.
"""

import io
import struct
import zlib

import numpy as np
from PIL import Image as PilImage

from tests.manifests.manifest_rows import drawn

PICTURE = drawn(np.random.default_rng(3), 40)
POSTSCRIPT = b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 64 64\n{ } loop\n%%EOF\n"


def saved(image, kind, **options):
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def picture(mode="RGB"):
    return PilImage.fromarray(PICTURE).convert(mode)


def exif_block(*entries, order="<"):
    """A TIFF structure of (tag, type, count, value field of 4 bytes)."""
    head = b"II*\0" if order == "<" else b"MM\0*"
    body = struct.pack(order + "IH", 8, len(entries))
    for tag, kind, count, value in entries:
        body += struct.pack(order + "HHI", tag, kind, count) + value
    return head + body + bytes(4)


def short(value, order="<"):
    return struct.pack(order + "H", value) + b"\0\0"


def jpeg_with(*segments, image=None, quality=95):
    """A JPEG with (marker, body) segments before its own."""
    data = saved(image or picture(), "JPEG", quality=quality)
    extra = b"".join(b"\xff" + bytes([m]) + struct.pack(">H", len(body) + 2) + body for m, body in segments)
    return data[:2] + extra + data[2:]


def png_with(*chunks, image=None):
    """A PNG with (type, body) chunks after its header."""
    data = saved(image or picture(), "PNG")
    extra = b"".join(
        struct.pack(">I", len(b)) + t + b + struct.pack(">I", zlib.crc32(t + b)) for t, b in chunks
    )
    return data[:33] + extra + data[33:]


def foreign():
    """Files of formats that Pillow opens and this project does not, by name."""
    small = picture().resize((16, 16))
    out = {"eps": POSTSCRIPT, "broken-eps": b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\nboom\n"}
    for kind in ("PPM", "TGA", "ICO", "PCX", "SGI", "DDS", "MSP", "XBM", "ICNS", "QOI", "AVIF", "JPEG2000"):
        mode = {"MSP": "1", "XBM": "1"}.get(kind, "RGB")
        try:
            out[kind.lower()] = saved(small.convert(mode), kind)
        except (OSError, KeyError, ValueError):  # a build of Pillow without this encoder
            continue
    out["fits"] = (
        b"SIMPLE  =                    T" + b" " * 50 + b"BITPIX  =                    8" + b" " * 2800
    )
    out["broken-dds"] = out["dds"][:80] + b"\xff" * 8 + out["dds"][88:]
    return out
