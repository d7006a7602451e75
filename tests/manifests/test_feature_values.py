"""Features of files known by hand, and pictures too small to have features."""

import numpy as np
import pytest

from manifests.audit.features import (
    FEATURES,
    FILE_FEATURES,
    SMALLEST,
    features_of,
    pixel_features,
    spectrum_slope,
)
from manifests.errors import DataError
from manifests.images import encode
from tests.manifests.manifest_rows import drawn


def test_file_features_of_a_file_known_by_hand(tmp_path):
    image = drawn(np.random.default_rng(3), 24)
    (tmp_path / "a.jpg").write_bytes(encode(image, "jpeg", 80))
    (tmp_path / "a.png").write_bytes(encode(np.full((16, 20, 3), 60, np.uint8), "png"))
    jpeg = dict(zip(FEATURES, features_of(tmp_path / "a.jpg"), strict=True))
    png = dict(zip(FEATURES, features_of(tmp_path / "a.png"), strict=True))
    assert jpeg["bytes"] == (tmp_path / "a.jpg").stat().st_size
    assert [jpeg[name] for name in FILE_FEATURES[1:6]] == [1, 0, 0, 24, 24]
    assert jpeg["chroma_subsampling"] == 22
    assert [png[name] for name in FILE_FEATURES[1:]] == [0, 1, 0, 20, 16, 0, 0, 0, 0, 0]
    assert [png[name] for name in ("border", "brightness", "contrast", "red", "noise")] == pytest.approx(
        [60, 60, 0, 60, 0]
    )


@pytest.mark.parametrize("size", range(1, SMALLEST))
def test_a_picture_too_small_to_measure_is_named(tmp_path, size):
    path = tmp_path / "tiny.png"
    path.write_bytes(encode(drawn(np.random.default_rng(0), 16)[:size], "png"))
    with pytest.raises(DataError, match=r"tiny\.png"):
        features_of(path)


def test_the_smallest_picture_has_all_features(tmp_path):
    path = tmp_path / "small.png"
    path.write_bytes(encode(drawn(np.random.default_rng(0), SMALLEST), "png"))
    assert np.isfinite(features_of(path)).all()


@pytest.mark.parametrize("exponent", [0.0, -2.0, -3.0])
def test_the_slope_of_a_spectrum_made_with_that_slope(exponent):
    rng = np.random.default_rng(4)
    frequency = np.hypot(np.fft.fftfreq(128)[:, None], np.fft.fftfreq(128)[None])
    frequency[0, 0] = 1
    noise = np.fft.fft2(rng.normal(size=(128, 128))) * frequency ** (exponent / 2)
    assert spectrum_slope(np.fft.ifft2(noise).real * 20 + 128) == pytest.approx(exponent, abs=0.15)


def test_noise_and_sharpness_grow_with_noise():
    rng = np.random.default_rng(5)
    noisy = [
        pixel_features((120 + rng.normal(0, sigma, (32, 32, 3))).clip(0, 255).astype(np.uint8))
        for sigma in (1, 4, 16)
    ]
    for name in ("noise", "sharpness"):
        column = [row[FEATURES.index(name) - len(FILE_FEATURES)] for row in noisy]
        assert column == sorted(column)
        assert column[0] < column[2]
