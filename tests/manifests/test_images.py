"""Pixels in and out: one encoder, and every odd file that a folder of pictures may hold."""

import io

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image as PilImage
from PIL import ImageOps

from manifests import images
from manifests.errors import DataError, MissingError, UsageError
from tests.manifests.manifest_rows import drawn

PICTURE = drawn(np.random.default_rng(0), 48)


def saved(image, kind, **options):
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def test_png_is_lossless_for_pictures_and_masks():
    np.testing.assert_array_equal(images.decode(images.encode(PICTURE, "png")), PICTURE)
    mask = PICTURE[:, :, 0]
    np.testing.assert_array_equal(images.decode(images.encode(mask, "png"))[:, :, 0], mask)


@pytest.mark.parametrize(("codec", "quality"), [("jpeg", 90), ("jpeg", 30), ("webp", 90), ("png", None)])
def test_same_pixels_same_bytes_and_no_metadata(codec, quality):
    data = images.encode(PICTURE, codec, quality)
    assert data == images.encode(PICTURE.copy(order="F"), codec, quality)
    with PilImage.open(io.BytesIO(data)) as image:
        assert image.format == codec.upper()
        assert not image.getexif()
        assert not {"exif", "icc_profile", "comment", "xmp"} & set(image.info)


def test_jpeg_is_baseline_420_at_the_quality_asked():
    with PilImage.open(io.BytesIO(images.encode(PICTURE, "jpeg", 75))) as image:
        assert "progressive" not in image.info
        assert [layer[1:3] for layer in image.layer] == [(2, 2), (1, 1), (1, 1)]
        again = PilImage.open(io.BytesIO(saved(PilImage.fromarray(PICTURE), "JPEG", quality=75)))
        assert image.quantization == again.quantization


@pytest.mark.parametrize(
    ("image", "codec", "quality"),
    [
        (PICTURE, "gif", None),
        (PICTURE, "jpeg", None),
        (PICTURE, "jpeg", 0),
        (PICTURE, "jpeg", 101),
        (PICTURE, "png", 90),
        (PICTURE.astype(np.float32), "png", None),
        (PICTURE[:, :, 0], "jpeg", 90),
        (PICTURE[None], "png", None),
    ],
)
def test_wrong_settings_are_refused(image, codec, quality):
    with pytest.raises(UsageError):
        images.encode(image, codec, quality)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_orientation_is_honoured(orientation):
    picture = PilImage.fromarray(PICTURE[:32])
    exif = PilImage.Exif()
    exif[0x0112] = orientation
    found = images.decode(saved(picture, "PNG", exif=exif))
    tagged = PilImage.open(io.BytesIO(saved(picture, "PNG", exif=exif)))
    np.testing.assert_array_equal(found, np.asarray(ImageOps.exif_transpose(tagged)))
    if orientation == 6:
        np.testing.assert_array_equal(found, np.rot90(PICTURE[:32], -1))


def test_cmyk_becomes_rgb():
    found = images.decode(saved(PilImage.fromarray(PICTURE).convert("CMYK"), "JPEG", quality=95))
    assert found.shape == PICTURE.shape
    assert np.abs(found.astype(int) - PICTURE).mean() < 6


def test_16_bit_grey_is_brought_to_8():
    grey = PICTURE[:, :, 0].astype(np.uint16) * 257
    found = images.decode(saved(PilImage.fromarray(grey), "PNG"))
    np.testing.assert_array_equal(found, np.repeat(PICTURE[:, :, :1], 3, 2))


def test_16_bit_extremes():
    grey = np.array([[0, 65535], [257, 32896]], np.uint16)
    np.testing.assert_array_equal(
        images.decode(saved(PilImage.fromarray(grey), "PNG"))[:, :, 0], [[0, 255], [1, 128]]
    )


def test_a_dark_16_bit_picture_stays_dark():
    """A 16-bit file whose brightest value is 200 of 65535 is black: its scale is the file's, not its
    brightest.
    """
    grey = np.full((4, 4), 200, np.uint16)
    assert images.decode(saved(PilImage.fromarray(grey), "PNG")).max() <= 1


@pytest.mark.parametrize("mode", ["RGBA", "LA", "P"])
def test_alpha_is_laid_on_white(mode):
    if mode == "P":
        picture = PilImage.new("P", (4, 4), 0)
        picture.putpalette([10, 20, 30] + [0] * 765)
        data = saved(picture, "PNG", transparency=0)
    else:
        data = saved(PilImage.new(mode, (4, 4), (0,) * len(mode)), "PNG")
    np.testing.assert_array_equal(images.decode(data), np.full((4, 4, 3), 255))


def test_half_transparent_is_half_white():
    found = images.decode(saved(PilImage.new("RGBA", (2, 2), (0, 100, 200, 128)), "PNG"))
    np.testing.assert_allclose(found[0, 0], [127, 177, 227], atol=1)


@pytest.mark.parametrize("kind", ["GIF", "WEBP", "PNG"])
def test_the_first_frame_of_an_animation(kind):
    frames = [PilImage.new("RGB", (8, 8), colour) for colour in ((255, 0, 0), (0, 0, 255))]
    options = {"lossless": True} if kind == "WEBP" else {}
    data = saved(frames[0], kind, save_all=True, append_images=frames[1:], **options)
    np.testing.assert_array_equal(images.decode(data)[0, 0], [255, 0, 0])


@pytest.mark.parametrize("mode", ["L", "1", "P", "YCbCr", "F", "I"])
def test_other_modes_are_read(mode):
    kind = {"YCbCr": "JPEG", "F": "TIFF", "I": "TIFF"}.get(mode, "PNG")
    found = images.decode(saved(PilImage.fromarray(PICTURE).convert(mode), kind))
    assert found.shape == PICTURE.shape
    assert found.dtype == np.uint8


@pytest.mark.parametrize("codec", ["jpeg", "png", "webp"])
@pytest.mark.parametrize("keep", [0, 1, 10, 0.5, 0.9])
def test_a_truncated_file_is_named(codec, keep, tmp_path):
    data = images.encode(PICTURE, codec, None if codec == "png" else 80)
    path = tmp_path / "cut.img"
    path.write_bytes(data[: int(len(data) * keep) if isinstance(keep, float) else keep])
    with pytest.raises(DataError, match=r"cut\.img"):
        images.read_image(path)


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_damaged_bytes_give_a_picture_or_a_data_error(data):
    codec = data.draw(st.sampled_from(["jpeg", "png", "webp"]))
    raw = bytearray(images.encode(PICTURE, codec, None if codec == "png" else 80))
    for _ in range(data.draw(st.integers(1, 6))):
        raw[data.draw(st.integers(0, len(raw) - 1))] = data.draw(st.integers(0, 255))
    try:
        assert images.decode(bytes(raw)).dtype == np.uint8
    except DataError:
        return


def test_text_is_no_image(tmp_path):
    (tmp_path / "a.jpg").write_text("not a picture")
    with pytest.raises(DataError, match="not a readable image"):
        images.read_image(tmp_path / "a.jpg")


def test_a_missing_file_is_missing(tmp_path):
    with pytest.raises(MissingError):
        images.read_image(tmp_path / "none.jpg")


def test_a_huge_picture_is_refused_before_it_is_decoded(monkeypatch):
    monkeypatch.setattr(images, "MAX_PIXELS", 100)
    with pytest.raises(DataError, match="48 x 48"):
        images.decode(images.encode(PICTURE, "png"))


def test_resize_keeps_what_has_the_size_and_averages_what_has_not():
    assert images.resize(PICTURE, 48) is PICTURE
    flat = np.full((30, 50, 3), 77, np.uint8)
    np.testing.assert_array_equal(images.resize(flat, 16), np.full((16, 16, 3), 77))


def test_mask_round_trip(tmp_path):
    mask = (PICTURE[:, :, 1] > 128).astype(np.uint8) * 255
    (tmp_path / "m.png").write_bytes(images.encode(mask, "png"))
    np.testing.assert_array_equal(images.read_mask(tmp_path / "m.png"), mask)
