"""Right pixels of every kind of number that a picture may hold, against values known beforehand."""

import struct

import numpy as np
import pytest
from PIL import Image as PilImage

from manifests import images
from manifests.errors import DataError
from tests.manifests.picture_files import PICTURE, picture, saved


def tiff(values, *, bits, kind=1, photometric=1, order="<", samples=1):
    """An uncompressed TIFF written by hand: kind is its sample format, 1 unsigned, 2 signed, 3 float."""
    height, width = values.shape[:2]
    data = values.tobytes()
    tags = [
        (256, 4, 1, width),
        (257, 4, 1, height),
        (258, 3, samples, bits),
        (259, 3, 1, 1),
        (262, 3, 1, photometric),
        (273, 4, 1, 0),
        (277, 3, 1, samples),
        (278, 4, 1, height),
        (279, 4, 1, len(data)),
        (339, 3, samples, kind),
    ]
    start = 8 + 2 + 12 * len(tags) + 4
    lists = b""
    body = struct.pack(order + "H", len(tags))
    for tag, code, count, value in tags:
        if tag == 273:
            value = start + 4 * samples * 2
        if count > 2:
            field, more = (
                struct.pack(order + "I", start + len(lists)),
                struct.pack(order + "H", value) * count,
            )
            lists += more
        else:
            field = struct.pack(order + ("I" if code == 4 else "H"), value).ljust(4, b"\0")
        body += struct.pack(order + "HHI", tag, code, count) + field
    head = (b"II*\0" if order == "<" else b"MM\0*") + struct.pack(order + "I", 8)
    return head + body + bytes(4) + lists.ljust(8 * samples, b"\0") + data


def grey(data):
    found = images.decode(data, "picture.tif")
    assert (found == found[:, :, :1]).all()
    return found[:, :, 0]


@pytest.mark.parametrize("order", "<>")
def test_16_bit_grey_is_scaled_by_its_full_range(order):
    values = np.array([[0, 257, 128 * 257], [65535, 200, 32000]], order + "u2")
    np.testing.assert_array_equal(grey(tiff(values, bits=16, order=order)), [[0, 1, 128], [255, 1, 125]])
    np.testing.assert_array_equal(
        grey(saved(PilImage.fromarray(values.astype(np.uint16)), "PNG")), [[0, 1, 128], [255, 1, 125]]
    )


def test_12_bit_grey_is_scaled_by_4095():
    packed = np.array([[0xFF, 0xF8, 0x00]], np.uint8)  # 4095, 2048
    data = tiff(packed, bits=12).replace(
        struct.pack("<HHII", 256, 4, 1, 3), struct.pack("<HHII", 256, 4, 1, 2)
    )
    np.testing.assert_array_equal(grey(data), [[255, 128]])


def test_white_is_zero_is_turned_around():
    values = np.array([[0, 65535, 257]], "<u2")
    np.testing.assert_array_equal(grey(tiff(values, bits=16, photometric=0)), [[255, 0, 254]])
    np.testing.assert_array_equal(
        grey(tiff(np.array([[0.0, 1.0]], "<f4"), bits=32, kind=3, photometric=0)), [[255, 0]]
    )


@pytest.mark.parametrize(
    ("values", "wanted"),
    [
        ([0, 128, 255], [0, 128, 255]),
        ([0, 257, 65535], [0, 1, 255]),
        ([0, 0, 0], [0, 0, 0]),
    ],
)
@pytest.mark.parametrize("kind", [1, 2])
def test_32_bit_grey_of_a_known_range(values, wanted, kind):
    np.testing.assert_array_equal(grey(tiff(np.array([values], "<i4"), bits=32, kind=kind)), [wanted])


@pytest.mark.parametrize(
    ("values", "bits"),
    [
        (np.array([[0, 70_000]], "<i4"), 32),
        (np.array([[-5, 100]], "<i4"), 32),
        (np.array([[0, 2**31 - 1]], "<i4"), 32),
        (np.array([[-300, 300]], "<i2"), 16),
        (np.array([[0, 32767]], "<i2"), 16),
    ],
)
def test_whole_numbers_of_an_unknown_range_are_refused(values, bits):
    with pytest.raises(
        DataError, match=r"picture\.tif: has values from -?\d+ to \d+, and which of them is black"
    ):
        grey(tiff(values, bits=bits, kind=2))


@pytest.mark.parametrize(
    ("values", "wanted"),
    [
        ([0, 0.5, 1], [0, 128, 255]),
        ([0.25, 0.75, 0.1], [64, 191, 26]),
        ([-0.001, 1.001, 0.2], [0, 255, 51]),
        ([0, 127.6, 255], [0, 128, 255]),
        ([0, 3, 9], [0, 3, 9]),
        ([0, 0, 0], [0, 0, 0]),
        ([0, 1, 1], [0, 255, 255]),
    ],
)
def test_floats_of_a_known_range(values, wanted):
    found = grey(tiff(np.array([values], "<f4"), bits=32, kind=3)).astype(int)
    assert np.abs(found - [wanted]).max() <= (1 if 0.5 in values else 0)


@pytest.mark.parametrize(
    "values",
    [
        [0, 1.5, 1.2],
        [0, 0.5, 7.25],
        [-1, 0, 1],
        [-1, 0, 255],
        [0, 100, 256.5],
        [0, 65535.0, 4.5],
        [0, 1e30, 0],
    ],
)
def test_floats_of_an_unknown_range_are_refused(values):
    with pytest.raises(DataError, match="which of them is black and which white is not known"):
        grey(tiff(np.array([values], "<f4"), bits=32, kind=3))


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_floats_that_are_not_finite_are_refused(value):
    with pytest.raises(DataError, match="not finite"):
        grey(tiff(np.array([[0, value, 1]], "<f4"), bits=32, kind=3))


@pytest.mark.parametrize("order", "<>")
def test_16_bit_colour(order):
    values = (np.array([[[255, 0, 10], [1, 128, 77]]]) * 257).astype(order + "u2")
    np.testing.assert_array_equal(
        images.decode(tiff(values, bits=16, photometric=2, samples=3, order=order)),
        [[[255, 0, 10], [1, 128, 77]]],
    )


def test_16_bit_colour_of_png():
    import zlib

    def chunk(kind, body):
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    row = np.array([65535, 0, 10 * 257, 257, 128 * 257, 77 * 257], ">u2").tobytes()
    data = (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", struct.pack(">IIBBBBB", 2, 1, 16, 2, 0, 0, 0))
        + chunk(b"IDAT", zlib.compress(b"\0" + row))
        + chunk(b"IEND", b"")
    )
    np.testing.assert_array_equal(images.decode(data), [[[255, 0, 10], [1, 128, 77]]])


def test_cmyk_of_known_inks():
    inks = PilImage.new("CMYK", (4, 1))
    for x, value in enumerate([(0, 0, 0, 0), (255, 0, 0, 0), (0, 0, 0, 255), (0, 255, 255, 0)]):
        inks.putpixel((x, 0), value)
    wanted = [[[255, 255, 255], [0, 255, 255], [0, 0, 0], [255, 0, 0]]]
    np.testing.assert_array_equal(images.decode(saved(inks, "TIFF")), wanted)


@pytest.mark.parametrize("transparency", [1, bytes([255, 0, 128])])
def test_a_palette_with_transparency(transparency):
    image = PilImage.new("P", (3, 1))
    image.putdata([0, 1, 2])
    image.putpalette([200, 0, 0, 0, 200, 0, 0, 0, 200] + [0] * 759)
    third = [0, 0, 200] if transparency == 1 else [127, 127, 227]
    found = images.decode(saved(image, "PNG", transparency=transparency))
    np.testing.assert_allclose(found, [[[200, 0, 0], [255, 255, 255], third]], atol=1)


def test_grey_with_alpha_and_its_premultiplied_kin():
    image = PilImage.new("LA", (3, 1))
    image.putdata([(100, 255), (100, 0), (100, 128)])
    for kind in ("PNG", "TIFF"):
        np.testing.assert_allclose(images.decode(saved(image, kind))[0, :, 0], [100, 255, 177], atol=1)


@pytest.mark.parametrize("mode", ["L", "I;16", "1"])
def test_one_transparent_grey_of_png(mode):
    values = np.array([[10, 20]], np.uint8)
    image = (
        PilImage.fromarray(values.astype(np.uint16) * 257)
        if mode == "I;16"
        else PilImage.fromarray(values)
        if mode == "L"
        else PilImage.fromarray(values > 15)
    )
    clear = {"L": 20, "I;16": 20 * 257, "1": 1}[mode]
    found = images.decode(saved(image, "PNG", transparency=clear))[0, :, 0]
    np.testing.assert_array_equal(found, [0 if mode == "1" else 10, 255])


def test_one_bit_is_black_and_white():
    image = PilImage.fromarray(np.array([[True, False]]))
    for kind in ("PNG", "TIFF", "BMP"):
        np.testing.assert_array_equal(grey(saved(image, kind)), [[255, 0]])


def test_cielab_is_refused():
    with pytest.raises(DataError, match="LAB colours"):
        images.decode(saved(PilImage.new("LAB", (4, 4)), "TIFF"))


@pytest.mark.parametrize("orientation", range(1, 9))
def test_every_kind_is_turned_alike(orientation):
    exif = PilImage.Exif()
    exif[274] = orientation
    wanted = images.decode(saved(picture("L"), "PNG", exif=exif))
    assert wanted.shape == PICTURE.shape
    for mode, kind in (("F", "TIFF"), ("L", "TIFF"), ("LA", "PNG")):
        data = saved(picture(mode), kind, exif=exif)
        np.testing.assert_array_equal(images.decode(data), wanted)
