"""Whatever kind of numbers a picture holds, as 8-bit RGB, or a refusal where nobody can know which is black
and white.

Grey of 16 bits is scaled by its full range, not by its brightest pixel. Grey of 32 bits and floats say
nowhere what white is: 0 to 255 and (whole numbers) 0 to 65535, (floats) 0 to 1 are read, anything else is
refused. Transparency is laid on white. CMYK is converted without a colour profile.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image as PilImage

from manifests.errors import DataError

Image = npt.NDArray[np.uint8]
UNIT_SLACK = 1 / 510
"""Half a step of 8 bits: filters leave a 0 or a 1 a little outside."""
LEAST_WHITE = 16.0
"""Floats that are no whole numbers, the brightest above 1 and below this: neither 0 to 1 nor 0 to 255."""
_FIX = "save it with 8 bits per channel"


def turned(image: Image, orientation: int) -> Image:
    """A picture upright.

    Args:
        image: uint8 [H, W, 3].
        orientation: as in EXIF, 1 to 8: where the first row and the first column of the file belong.

    Returns:
        uint8 [H, W, 3], or [W, H, 3] for 5 to 8.
    """
    if orientation >= 5:  # the first row is a column
        image = image.transpose(1, 0, 2)
    if orientation in (2, 3, 6, 7):
        image = image[:, ::-1]
    if orientation in (3, 4, 7, 8):
        image = image[::-1]
    return np.ascontiguousarray(image)


def _unknown(name: str, low: float, high: float) -> DataError:
    why = f"has values from {low:.10g} to {high:.10g}, and which of them is black and which white is not"
    return DataError(name, f"{why} known", _FIX)


def _tiff_tag(image: PilImage.Image, tag: int, default: int) -> int:
    tags: Any = getattr(image, "tag_v2", None)
    value = tags.get(tag, default) if tags is not None else default
    return int(value[0]) if isinstance(value, tuple) else int(value)


def _whole_grey(image: PilImage.Image, name: str) -> Image:
    """Grey of 12, 16 or 32 bits: uint8 [H, W]."""
    values = np.asarray(image)
    low, high = (int(values.min()), int(values.max())) if values.size else (0, 0)
    if image.mode != "I" or image.format == "PNG":
        white = 2 ** _tiff_tag(image, 258, 16) - 1
    else:
        white = 255 if high <= 255 else 65535
        signed = _tiff_tag(image, 339, 1) == 2 and _tiff_tag(image, 258, 32) == 16
        if low < 0 or high > white or (signed and white > 255):
            raise _unknown(name, low, high)
    return np.asarray((values.astype(np.uint32) * 255 + white // 2) // white, np.uint8)


def _float_grey(image: PilImage.Image, name: str) -> Image:
    """Grey in floating point: uint8 [H, W]."""
    values = np.asarray(image, np.float32)
    if not np.isfinite(values).all():
        raise DataError(name, "holds values that are not finite numbers", _FIX)
    low, high = (float(values.min()), float(values.max())) if values.size else (0.0, 0.0)
    if low >= -UNIT_SLACK and high <= 1 + UNIT_SLACK:
        scale = 255.0
    elif low >= -0.5 and high <= 255.5 and (high >= LEAST_WHITE or bool((values == np.rint(values)).all())):
        scale = 1.0
    else:
        raise _unknown(name, low, high)
    return np.asarray(np.rint(values * scale).clip(0, 255), np.uint8)


def to_rgb(image: PilImage.Image, name: str) -> Image:
    """A decoded picture of any of Pillow's modes: uint8 [H, W, 3] RGB.

    Raises:
        DataError: a range of values that is not known, floats that are not finite, or colours that are not
        converted
            (CIELAB); `name` is in the message.
    """
    if image.mode in ("LAB", "HSV"):
        raise DataError(name, f"has {image.mode} colours, which are not converted", "save it as RGB")
    if image.mode == "F" or image.mode.startswith("I"):
        grey = _float_grey(image, name) if image.mode == "F" else _whole_grey(image, name)
        if _tiff_tag(image, 262, 1) == 0:  # white is zero; Pillow turns only 8 bits and fewer around
            grey = 255 - grey
        clear = image.info.get("transparency")
        if isinstance(clear, int):
            grey[np.asarray(image) == clear] = 255
        return np.repeat(grey[:, :, None], 3, axis=2)
    if image.mode == "La":
        image = image.convert("LA")
    if image.has_transparency_data:
        rgba = image.convert("RGBA")
        white = PilImage.new("RGBA", rgba.size, (255, 255, 255, 255))
        image = PilImage.alpha_composite(white, rgba)
    return np.array(image if image.mode == "RGB" else image.convert("RGB"))
