"""Trivial features, each against what was done to the file or the picture."""

import io

import numpy as np
import pytest
from PIL import Image as PilImage
from scipy import ndimage

from manifests.audit.features import (
    FEATURES,
    PIXEL_FEATURES,
    feature_matrix,
    features_of,
    file_features,
    pixel_features,
)
from manifests.errors import DataError
from manifests.images import encode
from tests.manifests.manifest_rows import drawn

PICTURE = drawn(np.random.default_rng(3), 64)


def of(path, data):
    path.write_bytes(data)
    return dict(zip(FEATURES, features_of(path), strict=True))


def pixels(image):
    return dict(zip(PIXEL_FEATURES, pixel_features(image), strict=True))


def test_container_and_size(tmp_path):
    for codec, quality in (("jpeg", 90), ("png", None), ("webp", 80)):
        data = encode(PICTURE[:40], codec, quality)
        found = of(tmp_path / "a", data)
        assert [found[f"is_{name}"] for name in ("jpeg", "png", "webp")] == [
            codec == name for name in ("jpeg", "png", "webp")
        ]
        assert (found["bytes"], found["width"], found["height"]) == (len(data), 64, 40)


def test_jpeg_tables_and_subsampling(tmp_path):
    fine, coarse = (of(tmp_path / "a", encode(PICTURE, "jpeg", q)) for q in (95, 60))
    assert coarse["jpeg_luma_table"] > fine["jpeg_luma_table"] > 0
    assert coarse["jpeg_chroma_table"] > fine["jpeg_chroma_table"] > 0
    kinds = set()
    for subsampling in ("4:4:4", "4:2:2", "4:2:0"):
        buffer = io.BytesIO()
        PilImage.fromarray(PICTURE).save(buffer, "JPEG", quality=95, subsampling=subsampling)
        kinds.add(of(tmp_path / "a", buffer.getvalue())["chroma_subsampling"])
    assert len(kinds) == 3


def test_metadata_is_seen(tmp_path):
    exif = PilImage.Exif()
    exif[0x010F] = "maker"
    buffer = io.BytesIO()
    PilImage.fromarray(PICTURE).save(buffer, "JPEG", exif=exif, comment=b"made by")
    with_metadata, without = (
        of(tmp_path / "a", buffer.getvalue()),
        of(tmp_path / "b", encode(PICTURE, "jpeg", 75)),
    )
    assert with_metadata["exif_tags"] == 1
    assert without["exif_tags"] == 0
    assert with_metadata["metadata_entries"] > without["metadata_entries"]


def test_files_of_the_one_encoder_differ_in_bytes_alone():
    first, second = (file_features(encode(drawn(np.random.default_rng(s), 64), "jpeg", 90)) for s in (1, 2))
    assert first[1:] == second[1:]


def test_brightness_and_colour_by_hand():
    flat = np.empty((16, 16, 3), np.uint8)
    flat[:] = 10, 100, 200
    found = pixels(flat)
    assert (found["red"], found["green"], found["blue"]) == (10, 100, 200)
    assert found["brightness"] == pytest.approx(0.299 * 10 + 0.587 * 100 + 0.114 * 200)
    assert found["contrast"] == pytest.approx(0, abs=1e-9)
    assert found["border"] == pytest.approx(found["brightness"])
    assert all(np.isfinite(value) for value in found.values())


def test_blur_lowers_sharpness_and_noise_and_steepens_the_spectrum():
    sharp, soft = pixels(PICTURE), pixels(ndimage.gaussian_filter(PICTURE, (1, 1, 0)))
    assert soft["sharpness"] < sharp["sharpness"]
    assert soft["noise"] < sharp["noise"]
    assert soft["spectrum_slope"] < sharp["spectrum_slope"]


def test_a_black_frame_is_a_border():
    framed = PICTURE.copy()
    framed[[0, -1]] = framed[:, [0, -1]] = 0
    assert pixels(framed)["border"] == 0
    assert pixels(framed)["border_gradient"] > 5 * pixels(PICTURE)["border_gradient"]


def test_spectrum_slope_of_white_noise_is_flat_and_of_its_integral_is_not():
    rng = np.random.default_rng(0)
    white = rng.normal(128, 20, (128, 128))
    frequency = np.hypot(np.fft.fftfreq(128)[:, None], np.fft.fftfreq(128)[None])
    frequency[0, 0] = 1
    pink = np.fft.ifft2(np.fft.fft2(white - 128) / frequency).real
    images = [np.repeat(v[..., None], 3, 2) for v in (white, 128 + pink / pink.std() * 20)]
    flat, falling = (pixels(v.clip(0, 255).astype(np.uint8))["spectrum_slope"] for v in images)
    assert flat == pytest.approx(0, abs=0.15)
    assert falling == pytest.approx(-2, abs=0.25)


def test_an_unreadable_or_missing_file_is_named(tmp_path):
    good, bad = tmp_path / "good.jpg", tmp_path / "bad.jpg"
    good.write_bytes(encode(PICTURE, "jpeg", 90))
    bad.write_bytes(encode(PICTURE, "jpeg", 90)[:300])
    with pytest.raises(DataError, match=r"bad\.jpg"):
        feature_matrix([good, bad, good])
    with pytest.raises(DataError, match=r"none\.jpg"):
        feature_matrix([good, tmp_path / "none.jpg"])


def test_matrix_shape_for_no_files():
    assert feature_matrix([]).shape == (0, len(FEATURES))
