"""CleanVision as an audit: planted duplicates, blur and darkness are found where they are; a clean set
passes.
"""

import json
import shutil

import numpy as np
import pytest
from PIL import Image as PilImage
from PIL import ImageFilter, ImageOps

from manifests import registry
from manifests.atomic import canonical_json, digest_bytes
from manifests.audit import AUDITS
from manifests.errors import DataError, MissingError
from manifests.images import encode
from manifests.records import ImageRecord
from manifests.store import read_manifest, write_manifest
from tests.manifests.manifest_rows import changed, drawn_set, table

REAL = "train-White-Male-000"
COPY = "test-Black-Female-001"


def look(folder, **params):
    return AUDITS.create("cleanvision", params).run(read_manifest(folder), folder, 7)


def grainy(image):
    """A drawn picture with noise on it: many edges, unlike a blurred one."""
    rng = np.random.default_rng(int(image.sum()) % 2**32)
    return (image + rng.normal(0, 25, (*image.shape[:2], 1))).clip(0, 255).astype(np.uint8)


def blurred(image):
    """Without edges, and of all shades, as CleanVision's score asks for both."""
    soft = ImageOps.equalize(PilImage.fromarray(image).filter(ImageFilter.GaussianBlur(3)))
    return np.asarray(soft.point(lambda value: value * 7 // 10))


@pytest.fixture(scope="module")
def clean(tmp_path_factory):
    pytest.importorskip("cleanvision", reason="needs fairforge[cleanvision]")
    folder = tmp_path_factory.mktemp("clean")
    rows = drawn_set(folder, per_cell=2, size=64).to_pylist()
    put(folder, {row["image_id"]: grainy(picture(folder, row)) for row in rows})
    return folder


def picture(folder, row):
    return np.asarray(PilImage.open(folder / row["path"]).convert("RGB"))


def put(folder, images):
    rows = [ImageRecord(**row) for row in read_manifest(folder).to_pylist()]
    for name, image in images.items():
        data = encode(image, "jpeg", 90)
        (folder / "images" / f"{name}.jpg").write_bytes(data)
        rows = changed(rows, name, sha256=digest_bytes(data))
    write_manifest(table(rows), folder / "manifest.parquet")


@pytest.fixture(scope="module")
def planted(clean, tmp_path_factory):
    """One picture in two splits; in one cell the fakes are blurred, in another the real images dark."""
    folder = shutil.copytree(clean, tmp_path_factory.mktemp("planted") / "set")
    rows = {row["image_id"]: row for row in read_manifest(folder).to_pylist()}
    images = {COPY: (picture(folder, rows[REAL]) * 0.97).astype(np.uint8)}
    for name, row in rows.items():
        if (row["cell"], row["label"]) == ("Black/Male", 1):
            images[name] = blurred(picture(folder, row))
        elif (row["cell"], row["label"]) == ("White/Female", 0):
            images[name] = picture(folder, row) // 8
    put(folder, images)
    return folder


def test_what_is_planted_is_found_where_it_is(planted):
    result = look(planted)
    assert not result.passed, "the same picture in two splits"
    near = [text for text in result.findings if "near duplicates across splits" in text]
    assert len(near) == 1
    assert f"{REAL} (train)" in near[0]
    assert f"{COPY} (test)" in near[0]
    issues = result.figures["issues"]
    assert issues["blurry"]["by_cell"]["Black/Male fake"] == {"images": 6, "found": 6}
    assert issues["dark"]["by_cell"]["White/Female real"] == {"images": 6, "found": 6}
    assert issues["dark"]["images"] == 6, "and nowhere else"
    assert "dark: 6 of 6 White/Female real images" in result.findings
    assert "blurry: 6 of 6 Black/Male fake images" in result.findings
    compared = result.figures["compared"]
    assert compared["near_pairs_of_real_images"] == {"ours": 1, "cleanvision": 1, "both": 1}
    assert compared["dark_score_and_brightness"] > 0.5
    assert compared["blurry_score_and_sharpness"] > 0.2, "dark ones are less sharp to us, more blurred to it"
    assert json.loads(canonical_json(result.figures)) == result.figures, "JSON without NaN"


def test_blur_and_darkness_fail_only_where_that_is_asked_for(planted, tmp_path):
    folder = shutil.copytree(planted, tmp_path / "set")
    rows = {row["image_id"]: row for row in read_manifest(folder).to_pylist()}
    put(folder, {COPY: grainy(picture(folder, rows[COPY])[::-1])})
    found = look(folder)
    assert found.passed
    assert sorted(found.findings) == [
        "blurry: 6 of 6 Black/Male fake images",
        "dark: 6 of 6 White/Female real images",
    ]
    assert not look(folder, strict=True).passed


def test_a_clean_set_passes_strictly_and_nothing_is_printed(clean, capfd):
    result = look(clean, strict=True)
    assert result.passed
    assert result.findings == ()
    assert result.figures["duplicates"] == {
        kind: {"pairs": 0, "across_splits": 0} for kind in ("exact_duplicates", "near_duplicates")
    }
    assert capfd.readouterr() == ("", "")


def test_a_broken_picture_is_an_error_not_a_gap(tmp_path):
    pytest.importorskip("cleanvision", reason="needs fairforge[cleanvision]")
    drawn_set(tmp_path, per_cell=1)
    (tmp_path / "images" / f"{REAL}.jpg").write_bytes(b"\xff\xd8 cut short")
    with pytest.raises(DataError):
        look(tmp_path)


def test_without_the_package_the_extra_is_named(monkeypatch):
    monkeypatch.setattr(registry.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(MissingError) as caught:
        AUDITS.create("cleanvision")
    assert caught.value.fix == "pip install 'fairforge[cleanvision]'"
