"""The one road of pixels to files and back. Real and fake leave through `encode`: same codec, same quality.

Colour is RGB, 8 bits. Reading honours EXIF orientation, flattens alpha on white, takes the first frame of an
animation, and brings 16-bit grey to 8.
"""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image as PilImage
from PIL import ImageOps, UnidentifiedImageError

from manifests.errors import DataError, MissingError, UsageError

Image = npt.NDArray[np.uint8]
CODECS = ("jpeg", "webp", "png")
SUFFIX = {"jpeg": ".jpg", "webp": ".webp", "png": ".png"}
READABLE = (".png", ".jpg", ".jpeg", ".webp", ".bmp", ".tif", ".tiff", ".gif")
"""Endings of the files that are taken for pictures."""
MAX_PIXELS = 200_000_000


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
    if (codec == "png") != (quality is None) or (quality is not None and not 1 <= quality <= 100):
        raise UsageError(
            f"quality {quality!r}", f"does not fit codec {codec}", "give 1 to 100 for jpeg and webp, none for png"
        )
    if image.dtype != np.uint8 or image.ndim not in (2, 3) or (image.ndim == 2 and codec != "png"):
        raise UsageError(f"image {image.dtype} {list(image.shape)}", "cannot be encoded", "give uint8 [H, W, 3]")
    buffer = io.BytesIO()
    pil = PilImage.fromarray(image)
    if codec == "jpeg":
        pil.save(buffer, "JPEG", quality=quality, subsampling="4:2:0", optimize=False, progressive=False)
    elif codec == "webp":
        pil.save(buffer, "WEBP", quality=quality, method=4, exif=b"", icc_profile=b"")
    else:
        pil.save(buffer, "PNG", compress_level=6)
    return buffer.getvalue()


def _to_rgb(image: PilImage.Image) -> PilImage.Image:
    image = ImageOps.exif_transpose(image)
    if image.mode.startswith("I") or image.mode == "F":
        values = np.asarray(image, np.float64)
        scale = 257.0 if image.mode.startswith("I;16") or values.max(initial=0) > 255 else 1.0
        return PilImage.fromarray((values / scale).clip(0, 255).astype(np.uint8)).convert("RGB")
    if image.has_transparency_data:
        rgba = image.convert("RGBA")
        white = PilImage.new("RGBA", rgba.size, (255, 255, 255, 255))
        return PilImage.alpha_composite(white, rgba).convert("RGB")
    return image.convert("RGB")


def decode(data: bytes, name: str = "image") -> Image:
    """Decode any image Pillow reads to uint8 [H, W, 3] RGB.

    Raises:
        DataError: not an image, truncated, or larger than 200 megapixels; `name` is in the message.
    """
    try:
        with PilImage.open(io.BytesIO(data)) as image:
            if image.width * image.height > MAX_PIXELS:
                raise DataError(name, f"has {image.width} x {image.height} pixels", "scale it down first")
            return np.array(_to_rgb(image))
    except UnidentifiedImageError as error:  # its own words hold a memory address, which no row may
        raise DataError(name, "is not a readable image (of no known format)", "remove the file or fetch it again") from error
    except (OSError, SyntaxError, ValueError, PilImage.DecompressionBombError) as error:
        raise DataError(name, f"is not a readable image ({error})", "remove the file or fetch it again") from error


def read_image(path: Path | str) -> Image:
    """Read an image file; see `decode`.

    Raises:
        MissingError: no such file. DataError: not a readable image.
    """
    path = Path(path)
    if not path.is_file():
        raise MissingError(str(path), "is not there", "check the path, or make the images again")
    return decode(path.read_bytes(), str(path))


def read_mask(path: Path | str) -> Image:
    """Read an 8-bit alpha mask as uint8 [H, W]; errors as `read_image`."""
    return np.ascontiguousarray(read_image(path)[:, :, 0])


def resize(image: Image, size: int) -> Image:
    """Resample to a square of `size` pixels (Lanczos with antialiasing); the image itself where it has that size."""
    if image.shape[:2] == (size, size):
        return image
    return np.array(PilImage.fromarray(image).resize((size, size), PilImage.Resampling.LANCZOS))
