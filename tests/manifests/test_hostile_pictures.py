"""Pictures from anywhere: opened by an explicit list of formats and within limits, or refused with a
reason.
"""

import ast
import io
import os
import struct
import subprocess
import tracemalloc
import zlib
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image as PilImage

from manifests import images
from manifests.audit.features import FILE_FEATURES, file_features
from manifests.errors import DataError, MissingError
from manifests.picture_metadata import bare, tag_count
from tests.manifests.picture_files import (
    PICTURE,
    exif_block,
    foreign,
    jpeg_with,
    picture,
    png_with,
    saved,
    short,
)

ROOT = Path(images.__file__).parents[1]
PACKAGES = ("manifests", "generators", "attribute_models", "detector", "pipeline", "benchmarks")


def calls(name):
    """(file, call) of every `<something>.open(...)` whose object is called `name`, imports under other names
    included.
    """
    for package in PACKAGES:
        for path in sorted((ROOT / package).rglob("*.py")):
            text = path.read_text()
            if name not in text or ".open(" not in text:
                continue
            tree = ast.parse(text)
            names = {name} | {
                alias.asname or alias.name
                for node in ast.walk(tree)
                if isinstance(node, ast.ImportFrom)
                for alias in node.names
                if alias.name == name
            }
            for node in ast.walk(tree):
                if (
                    isinstance(node, ast.Call)
                    and isinstance(node.func, ast.Attribute)
                    and node.func.attr == "open"
                    and isinstance(node.func.value, ast.Name | ast.Attribute)
                    and getattr(node.func.value, "id", getattr(node.func.value, "attr", "")) in names
                ):
                    yield path.relative_to(ROOT).as_posix(), {word.arg for word in node.keywords}


def test_pictures_are_opened_in_one_place_and_by_a_list_of_formats():
    assert list(calls("Image")) == [("manifests/images.py", {"formats"})]


def test_videos_are_opened_without_their_tags_everywhere_and_from_files_by_a_list_of_containers():
    found = [(path, words) for path, words in calls("av") if not path.startswith("benchmarks/")]
    writers = {"manifests/clips/encoding.py"}
    assert {path for path, _ in found} == {"manifests/h264.py", "manifests/video_frames.py"} | writers
    assert all("metadata_errors" in words for path, words in found if path not in writers)
    assert [words for path, words in found if "video_frames" in path] == [{"metadata_errors", "options"}]


@pytest.fixture
def no_program(monkeypatch, tmp_path):
    """No process may be started: neither through subprocess nor by finding `gs`."""
    started = tmp_path / "gs-was-started"
    folder = tmp_path / "bin"
    folder.mkdir()
    (folder / "gs").write_text(f"#!/bin/sh\ntouch {started}\n")
    (folder / "gs").chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}:{os.environ['PATH']}")

    def refuse(*args, **kwargs):
        raise AssertionError(f"a process was started: {args}")

    monkeypatch.setattr(subprocess, "Popen", refuse)
    monkeypatch.setattr(os, "system", refuse)
    yield
    assert not started.exists()


@pytest.mark.parametrize("kind", sorted(foreign()))
def test_a_format_that_is_not_read_is_refused_whatever_its_name_says(kind, no_program, tmp_path):
    path = tmp_path / "photo.jpg"
    path.write_bytes(foreign()[kind])
    with pytest.raises(
        DataError, match=r"photo\.jpg: is not a readable image \(of no known format: JPEG, PNG, WEBP, "
    ):
        images.read_image(path)
    with pytest.raises(DataError):
        file_features(path.read_bytes())


@pytest.mark.parametrize("kind", images.FORMATS)
def test_every_format_of_the_list_is_read_by_its_content(kind, tmp_path):
    options = {"lossless": True} if kind == "WEBP" else {}
    path = tmp_path / "picture.png"
    path.write_bytes(saved(picture("P") if kind == "GIF" else picture(), kind, **options))
    found = images.read_image(path)
    assert found.shape == PICTURE.shape
    if kind in ("PNG", "WEBP", "BMP", "TIFF"):
        np.testing.assert_array_equal(found, PICTURE)


# --- EXIF: the orientation and nothing else ---

BAD_ENTRIES = {
    "a signed rational of -1/0": (282, 10, 1, struct.pack("<I", 80)),
    "text in a number": (282, 2, 4, b"abc\0"),
    "a byte in a rational": (282, 1, 1, b"\7\0\0\0"),
    "an unknown type": (271, 99, 1, b"\0\0\0\0"),
    "a count of billions": (270, 2, 0xFFFFFFFF, b"\0\0\0\0"),
    "a pointer to itself": (0x8769, 4, 1, struct.pack("<I", 8)),
    "a pointer behind the end": (0x8825, 4, 1, struct.pack("<I", 1 << 30)),
    "two resolutions": (282, 5, 2, struct.pack("<I", 0)),
}


def containers(block):
    turned = picture()
    yield "JPEG", jpeg_with((0xE1, b"Exif\0\0" + block))
    yield "PNG", png_with((b"eXIf", block))
    yield "WEBP", saved(turned, "WEBP", lossless=True, exif=block)
    buffer = io.BytesIO()
    turned.save(buffer, "MPO", save_all=True, append_images=[turned.rotate(180)], quality=95)
    data = buffer.getvalue()
    yield "MPO", data[:2] + b"\xff\xe1" + struct.pack(">H", len(block) + 8) + b"Exif\0\0" + block + data[2:]


@pytest.mark.parametrize("name", BAD_ENTRIES)
def test_tags_that_no_decoder_can_parse_do_not_matter(name):
    block = exif_block((274, 3, 1, short(6)), BAD_ENTRIES[name]) + struct.pack("<ii", -1, 0) * 4
    upright = np.rot90(PICTURE, -1)
    for kind, data in containers(block):
        difference = np.abs(images.decode(data, kind).astype(int) - upright)
        assert difference.mean() < 6, kind
        assert kind in ("JPEG", "MPO") or not difference.any(), kind
        assert len(file_features(data)) == len(FILE_FEATURES)


@pytest.mark.parametrize("value", [short(0), short(9), short(99), b"\xff\xff\0\0"])
def test_an_orientation_that_is_none_turns_nothing(value):
    for kind, data in containers(exif_block((274, 3, 1, value))):
        assert np.abs(images.decode(data, kind).astype(int) - PICTURE).mean() < 6, kind


@pytest.mark.parametrize(
    "block", [b"", b"II*\0", exif_block((274, 3, 1, short(6)))[:17], b"MM\0*\xff\xff\xff\xff" + bytes(20)]
)
def test_a_cut_exif_block_turns_nothing(block):
    for kind, data in containers(block):
        assert np.abs(images.decode(data, kind).astype(int) - PICTURE).mean() < 6, kind


@pytest.mark.parametrize("order", "<>")
def test_orientation_in_every_number_type_and_byte_order(order):
    for kind, code in ((1, "B"), (3, "H"), (4, "I"), (9, "i")):
        value = struct.pack(order + code, 8).ljust(4, b"\0")
        block = exif_block((274, kind, 1, value), order=order)
        assert tag_count(block) == 1
        np.testing.assert_array_equal(images.decode(png_with((b"eXIf", block))), np.rot90(PICTURE))


def test_orientation_of_xmp_and_of_imagemagick_s_text():
    xmp = b'<x:xmpmeta><rdf:Description tiff:Orientation="3"/></x:xmpmeta>'
    np.testing.assert_array_equal(
        images.decode(png_with((b"iTXt", b"XML:com.adobe.xmp\0\0\0\0\0" + xmp))), PICTURE[::-1, ::-1]
    )
    block = b"Exif\0\0" + exif_block((274, 3, 1, short(3)))
    text = f"\nexif\n{len(block):8d}\n{block.hex()}\n".encode()
    np.testing.assert_array_equal(
        images.decode(png_with((b"tEXt", b"Raw profile type exif\0" + text))), PICTURE[::-1, ::-1]
    )
    assert (
        images.decode(png_with((b"tEXt", b"Raw profile type exif\0\nexif\n 9\nxyz\n"))).shape == PICTURE.shape
    )


@pytest.mark.parametrize("big", [False, True])
def test_a_tiff_s_own_orientation_and_hostile_tags(big):
    exif = PilImage.Exif()
    exif[274], exif[271] = 6, "camera"
    exif.get_ifd(0x8769)[36867] = "2020:01:01"
    data = saved(picture(), "TIFF", exif=exif, big_tiff=big)
    np.testing.assert_array_equal(images.decode(data), np.rot90(PICTURE, -1))
    assert len(bare(data)[0]) >= len(data)
    broken = data.replace(b"camera", b"\xff\xff\xff\xff\xff\xff")
    np.testing.assert_array_equal(images.decode(broken), np.rot90(PICTURE, -1))


# --- limits, before anything large is allocated ---


def peak(work):
    tracemalloc.start()
    try:
        with pytest.raises(DataError) as caught:
            work()
        return str(caught.value), tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("kind", ["PNG", "BMP", "TIFF", "GIF"])
def test_too_many_pixels_are_refused_by_the_header(kind):
    small = saved(PilImage.new("L", (16, 16)), kind)
    side = struct.pack("<H", 40_000)
    if kind == "PNG":
        body = b"IHDR" + struct.pack(">II", 40_000, 40_000) + small[24:29]
        data = small[:12] + body + struct.pack(">I", zlib.crc32(body)) + small[33:]
    elif kind == "BMP":
        data = small[:18] + struct.pack("<ii", 40_000, 40_000) + small[26:]
    elif kind == "GIF":
        data = small[:6] + side * 2 + small[10:]
    else:
        value = struct.pack("<I", 40_000)
        data = exif_block(
            (256, 4, 1, value),
            (257, 4, 1, value),
            *((tag, 3, 1, short(8 if tag == 258 else 1)) for tag in (258, 259, 262, 273, 278, 279)),
        )
    text, memory = peak(lambda: images.decode(data, "bomb.png"))
    assert "200 megapixels" in text
    assert memory < 30 << 20


def test_messages_state_the_limits_of_the_code(monkeypatch):
    assert f"{images.MAX_PIXELS // 10**6} megapixels" in images.PIXELS_TEXT
    assert f"{images.MAX_BYTES >> 20} MiB" in images.BYTES_TEXT
    assert images.MAX_PIXELS == PilImage.MAX_IMAGE_PIXELS
    docs = " ".join((ROOT / "docs" / "data.md").read_text().split())
    for text in (
        images.PIXELS_TEXT.split(" are ")[0],
        images.BYTES_TEXT.split(" are ")[0],
        f"{images.MAX_SCANS} scans",
    ):
        assert text.removeprefix("more than ") in docs
    assert all(ending in docs for ending in images.READABLE)


def test_a_file_that_is_too_large_is_not_read(monkeypatch, tmp_path):
    monkeypatch.setattr(images, "MAX_BYTES", 1000)
    (tmp_path / "a.png").write_bytes(bytes(5000))
    with pytest.raises(DataError, match="has more than 1000 bytes"):
        images.read_image(tmp_path / "a.png")
    with pytest.raises(DataError, match="has 5000 bytes"):
        images.decode(bytes(5000))


def test_a_jpeg_of_endless_scans_is_refused():
    data = saved(picture(), "JPEG", progressive=True)
    scan = data[data.rindex(b"\xff\xda") : -2]
    with pytest.raises(DataError, match=f"a JPEG of more than {images.MAX_SCANS} is made"):
        images.decode(data[:-2] + scan * images.MAX_SCANS + data[-2:])
    assert images.decode(data).shape == PICTURE.shape


def test_tags_that_all_name_the_same_megabyte_are_not_copied():
    """2000 tags of 1 MB each in a file of 1 MB would be 2 GB."""
    entries = [(340 if k % 2 else 347, 1, 1_000_000, struct.pack("<I", 64)) for k in range(2000)]
    data = exif_block(*entries) + bytes(1_000_100)
    text, memory = peak(lambda: images.decode(data, "bomb.tif"))
    assert "its tags are larger than the file" in text
    assert memory < 20 << 20


def test_a_head_of_countless_parts_is_refused_at_once():
    with pytest.raises(DataError, match="its head has more than"):
        images.decode(b"\xff\xd8" + b"\xff\xe1\0\2" * 30_000)


def test_an_animation_is_read_to_its_first_frame_alone():
    frames = [PilImage.new("L", (16, 16), k % 256) for k in range(300)]
    data = saved(frames[0], "GIF", save_all=True, append_images=frames[1:])
    cut = data[: len(data) // 4]
    np.testing.assert_array_equal(images.decode(cut), images.decode(data))


@pytest.mark.parametrize("kind", ["folder", "pipe", "loop", "device"])
def test_what_is_no_file_is_refused_at_once(kind, tmp_path):
    path = tmp_path / "a.png"
    if kind == "folder":
        path.mkdir()
    elif kind == "pipe":
        os.mkfifo(path)
    elif kind == "loop":
        path.symlink_to(path)
    else:
        path = Path("/dev/zero")
    with pytest.raises(MissingError):
        images.read_image(path)


def test_a_file_that_may_not_be_read_is_named(monkeypatch, tmp_path):
    (tmp_path / "a.png").write_bytes(saved(picture(), "PNG"))

    def refuse(*args, **kwargs):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("builtins.open", refuse)
    with pytest.raises(DataError, match=r"a\.png: cannot be read \(Permission denied\)"):
        images.read_image(tmp_path / "a.png")


@pytest.mark.parametrize(
    "error",
    [
        RuntimeError("x"),
        NotImplementedError("x"),
        struct.error("x"),
        TypeError("x"),
        MemoryError(),
        KeyError("x"),
        IndexError("x"),
        ZeroDivisionError("x"),
        OverflowError("x"),
        AttributeError("x"),
        AssertionError("x"),
        EOFError("x"),
        OSError("x"),
        SyntaxError("x"),
        ValueError("<_io.BytesIO object at 0x7f00>"),
        RecursionError("x"),
        UnicodeDecodeError("utf-8", b"x", 0, 1, "x"),
    ],
    ids=lambda error: type(error).__name__,
)
def test_whatever_a_decoder_raises_is_a_data_error_without_addresses(error, monkeypatch):
    def fail(*args, **kwargs):
        raise error

    data = saved(picture(), "BMP")
    monkeypatch.setattr("PIL.ImageFile.ImageFile.load", fail)
    with pytest.raises(DataError, match="is not a readable image") as caught:
        images.decode(data, "a.bmp")
    assert "0x7f00" not in str(caught.value)


def test_an_error_of_this_program_is_none_of_the_decoder_s(monkeypatch):
    def fail(*args, **kwargs):
        raise KeyError("a bug")

    monkeypatch.setattr(images, "to_rgb", fail)
    with pytest.raises(KeyError):
        images.decode(saved(picture(), "BMP"))


# --- mutated files ---

SEEDS = [
    jpeg_with((0xE1, b"Exif\0\0" + exif_block((274, 3, 1, short(6))))),
    saved(picture("CMYK"), "JPEG", progressive=True),
    png_with((b"eXIf", exif_block((274, 3, 1, short(6))))),
    saved(picture("P"), "PNG"),
    saved(picture(), "WEBP"),
    saved(picture("P"), "BMP"),
    saved(picture("P"), "GIF"),
    saved(picture(), "TIFF", compression="tiff_lzw"),
    saved(picture("F"), "TIFF"),
    saved(picture("L"), "TIFF", big_tiff=True),
]


@settings(max_examples=250, deadline=10_000)
@given(
    st.sampled_from(SEEDS),
    st.lists(
        st.tuples(
            st.integers(0, 1 << 16),
            st.sampled_from(
                [b"", b"\0", b"\xff", b"\0\0\0\0", b"\xff\xff\xff\xff", b"\x7f\xff\xff\xff", b"\x00\x01"]
            ),
            st.integers(0, 4),
        ),
        max_size=5,
    ),
    st.integers(0, 1 << 16),
)
def test_mutated_pictures_are_a_picture_or_a_data_error(seed, edits, cut):
    data = bytearray(seed)
    for at, new, gone in edits:
        at %= max(1, len(data))
        data[at : at + gone] = new
    data = bytes(data[:cut]) if cut % 4 == 0 else bytes(data)
    try:
        found = images.decode(data)
    except DataError:
        return
    assert found.dtype == np.uint8
    assert found.ndim == 3
