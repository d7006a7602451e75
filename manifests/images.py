"""The one road of pixels to files and back. Real and fake leave through `encode`: same codec, same quality.

Colour is RGB, 8 bits. Reading honours EXIF orientation, flattens alpha on white, takes the first frame of an
animation, and brings other kinds of numbers to 8 bits. A picture is opened by an explicit list of formats:
Pillow knows dozens more, and hands one of them (PostScript) to another program.
"""

from __future__ import annotations

import io
import re
import struct
import warnings
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from PIL import Image as PilImage
from PIL import TiffImagePlugin as _Tiff  # noqa: F401  (so that Pillow need not load every format it knows)
from PIL import UnidentifiedImageError
from PIL import WebPImagePlugin as _WebP  # noqa: F401

from manifests.atomic import digest_bytes
from manifests.errors import DataError, MissingError, UsageError
from manifests.escaping import printable
from manifests.picture_metadata import bare, orientation_of
from manifests.picture_modes import Image as Image
from manifests.picture_modes import to_rgb, turned
from manifests.picture_shards import in_shard, read_member

CODECS = ("jpeg", "webp", "png")
QUALITIES = (1, 100)
"""Least and most quality of JPEG and WebP."""
SUFFIX = {"jpeg": ".jpg", "webp": ".webp", "png": ".png"}
READABLE = (".png", ".jpg", ".jpeg", ".webp", ".bmp", ".tif", ".tiff", ".gif", ".jfif", ".jpe")
"""Endings of the files that are taken for pictures, in any case."""
FORMATS = ("JPEG", "PNG", "WEBP", "BMP", "TIFF", "GIF")
"""What a picture is opened as, by its content: whatever its ending says, any other format is refused."""
ENDINGS = {
    "JPEG": ".jpg",
    "MPO": ".jpg",
    "PNG": ".png",
    "WEBP": ".webp",
    "BMP": ".bmp",
    "TIFF": ".tif",
    "GIF": ".gif",
}
MAX_PIXELS = 200_000_000
MAX_BYTES = 1 << 30
MAX_SCANS = 100
"""Passes of a progressive JPEG. Encoders make about 10; each goes over the whole picture."""
CHANGED = "is not the file that its row describes (sha256 differs)"
FETCH = "remove the file or fetch it again"
PIXELS_TEXT = f"more than {MAX_PIXELS / 1e6:g} megapixels are not read"
BYTES_TEXT = f"more than {MAX_BYTES >> 20} MiB are not read"
DECODER_ERRORS = (
    OSError,
    SyntaxError,
    ValueError,
    TypeError,
    LookupError,
    ArithmeticError,
    AttributeError,
    AssertionError,
    RuntimeError,
    EOFError,
    MemoryError,
    struct.error,
    zlib.error,
)
"""Everything that Pillow's decoders raise on damaged files, as found by fuzzing and in its bug reports, by
their bases. The list is wide because a decoder's own bugs surface as whatever Python raises (an index, a
division, an attribute of None): on a file from outside each of them means that this file cannot be read.
`opened` puts the decoder alone inside the `try`; errors of this program's own steps pass as what they are."""
PilImage.MAX_IMAGE_PIXELS = MAX_PIXELS  # Pillow's own is smaller; it warns there, and refuses the double
warnings.filterwarnings("error", category=PilImage.DecompressionBombWarning)


def encode(image: Image, codec: str, quality: int | None = None) -> bytes:
    """Encode an image; the same pixels and settings give the same bytes.

    Args:
        image: uint8 [H, W, 3] RGB, or uint8 [H, W] (masks; png only).
        codec: `jpeg` (4:2:0, baseline), `webp` (lossy) or `png` (lossless).
        quality: 1 to 100 for jpeg and webp; must be None for png.

    Raises:
        UsageError: unknown codec, quality out of range or not fitting, an image of another type.
    """
    if codec not in CODECS:
        raise UsageError(f"codec {codec!r}", "is not known", f"choose one of: {', '.join(CODECS)}")
    if (codec == "png") != (quality is None) or (
        quality is not None and not QUALITIES[0] <= quality <= QUALITIES[1]
    ):
        fix = f"give {QUALITIES[0]} to {QUALITIES[1]} for jpeg and webp, none for png"
        raise UsageError(f"quality {quality!r}", f"does not fit codec {codec}", fix)
    if image.dtype != np.uint8 or image.ndim not in (2, 3) or (image.ndim == 2 and codec != "png"):
        raise UsageError(
            f"image {image.dtype} {list(image.shape)}", "cannot be encoded", "give uint8 [H, W, 3]"
        )
    buffer = io.BytesIO()
    pil = PilImage.fromarray(image)
    if codec == "jpeg":
        pil.save(buffer, "JPEG", quality=quality, subsampling="4:2:0", optimize=False, progressive=False)
    elif codec == "webp":
        pil.save(buffer, "WEBP", quality=quality, method=4, exif=b"", icc_profile=b"")
    else:
        pil.save(buffer, "PNG", compress_level=6)
    return buffer.getvalue()


def formats_text() -> str:
    """The formats that are read, as words."""
    return f"{', '.join(FORMATS[:-1])} or {FORMATS[-1]}"


def _reason(error: BaseException) -> str:
    """A decoder's own words, without the addresses of objects in memory: no row may depend on them."""
    words = re.sub(r" at 0x[0-9a-fA-F]+", "", str(error)) or type(error).__name__
    return printable(words)[:200]


@contextmanager
def opened(data: bytes, name: str = "image") -> Iterator[PilImage.Image]:
    """The picture in a file as Pillow holds it, its pixels not decoded yet. Every picture is opened here.

    An error of the decoder inside the `with` becomes a DataError as well.

    Raises:
        DataError: of none of `FORMATS`, larger than the limits, or damaged; `name` is in the message.
    """
    name = printable(name)
    try:
        with PilImage.open(io.BytesIO(data), formats=FORMATS) as image:
            if image.width * image.height > MAX_PIXELS:
                size = f"{image.width} x {image.height} pixels"
                raise DataError(name, f"has {size}, {PIXELS_TEXT}", "scale it down first")
            yield image
    except UnidentifiedImageError as error:
        why = f"is not a readable image (of no known format: {formats_text()} are read)"
        raise DataError(name, why, "save it as one of these, or remove it") from error
    except (PilImage.DecompressionBombError, PilImage.DecompressionBombWarning) as error:
        raise DataError(name, f"has too many pixels, {PIXELS_TEXT}", "scale it down first") from error
    except DECODER_ERRORS as error:
        raise DataError(name, f"is not a readable image ({_reason(error)})", FETCH) from error


def ending_of(data: bytes, name: str = "image") -> str:
    """The usual ending of a picture's format, by its content: `.jpg`, `.png`, ...; errors as `opened`."""
    with opened(data, name) as image:
        return ENDINGS[str(image.format)]


def decode(data: bytes, name: str = "image") -> Image:
    """Decode a picture file to uint8 [H, W, 3] RGB: upright, its first frame, transparency on white.

    Only its pixels and its orientation are looked at; see `manifests.picture_metadata`.

    Raises:
        DataError: of none of `FORMATS`, truncated, damaged, larger than `MAX_BYTES`, `MAX_PIXELS` or
            `MAX_SCANS`, or with values whose range is not known; `name` is in the message.
    """
    if len(data) > MAX_BYTES:
        raise DataError(printable(name), f"has {len(data)} bytes, {BYTES_TEXT}", "scale it down first")
    try:
        pixels, orientation = bare(data)
    except ValueError as error:
        raise DataError(printable(name), f"is not a readable image ({error})", FETCH) from error
    if data.startswith(b"\xff\xd8") and (scans := pixels.count(b"\xff\xda")) > MAX_SCANS:
        why = f"has {scans} scans, a JPEG of more than {MAX_SCANS} is made to keep a decoder busy"
        raise DataError(printable(name), why, "save it again")
    with opened(pixels, name) as image:
        image.load()
    return turned(to_rgb(image, printable(name)), orientation or orientation_of(image.info))


def read_bytes(path: Path | str, sha256: str | None = None) -> bytes:
    """The bytes of a picture file, or of a picture in a shard (`manifests.picture_shards`).

    Args:
        path: the file.
        sha256: of the file as it was when its row was written, hex; None: it is not compared.

    Raises:
        MissingError: no such file, or a pipe or a device.
        DataError: it cannot be read, has more than `MAX_BYTES`, or is another file than its row describes.
    """
    path = Path(path)
    name = printable(str(path))
    try:
        place = None if path.is_file() else in_shard(path)
        if place is not None:
            data = read_member(*place, MAX_BYTES)
        elif not path.is_file():
            raise MissingError(name, "is not there", "check the path, or make the images again")
        else:
            with open(path, "rb") as file:
                data = file.read(MAX_BYTES + 1)
    except OSError as error:
        fix = "check its permissions, or fetch it again"
        raise DataError(name, f"cannot be read ({error.strerror})", fix) from error
    if len(data) > MAX_BYTES:
        raise DataError(name, f"has more than {MAX_BYTES} bytes, {BYTES_TEXT}", "scale it down first")
    if sha256 is not None and digest_bytes(data) != sha256:
        raise DataError(
            name,
            CHANGED,
            "make or fetch it again: it was changed, swapped or cut off since its row was written",
        )
    return data


def read_image(path: Path | str, sha256: str | None = None) -> Image:
    """Read an image file; see `decode`, and `read_bytes` for `sha256`.

    Raises:
        MissingError: no such file. DataError: not a readable image, or not the file that its row describes.
    """
    return decode(read_bytes(path, sha256), str(path))


def read_mask(path: Path | str) -> Image:
    """Read an 8-bit alpha mask as uint8 [H, W]; errors as `read_image`."""
    return np.ascontiguousarray(read_image(path)[:, :, 0])


def resize(image: Image, size: int) -> Image:
    """Resample to a square of `size` pixels (Lanczos with antialiasing); the image itself where it has that
    size.
    """
    if image.shape[:2] == (size, size):
        return image
    return np.array(PilImage.fromarray(image).resize((size, size), PilImage.Resampling.LANCZOS))
