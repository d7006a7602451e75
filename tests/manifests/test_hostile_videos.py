"""Videos from anywhere: plain files of known containers, upright, without their tags; or refused with a
reason.
"""

import json
import struct
import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from manifests import h264, mp4_tables, video_frames
from manifests.adapters import import_images
from manifests.errors import DataError, MissingError, UsageError
from manifests.video_frames import frames_of, upright
from tests.manifests.adapter_files import skipped

av = pytest.importorskip("av")
QUADRANTS = np.zeros((48, 64, 3), np.uint8)
QUADRANTS[:24, :32], QUADRANTS[:24, 32:], QUADRANTS[24:, :32] = 250, 170, 90


def video(path, codec="libx264", frames=6, picture=QUADRANTS, cover=False, tags=None):
    """A video of one picture; cover: with a cover picture as its first stream."""
    with av.open(str(path), "w") as container:
        container.metadata.update(tags or {})
        art = container.add_stream("mjpeg", rate=1) if cover else None
        if art is not None:
            art.width, art.height, art.pix_fmt = 16, 16, "yuvj420p"
            art.disposition = type(art.disposition).attached_pic
        stream = container.add_stream(codec, rate=25)
        stream.width, stream.height, stream.pix_fmt = picture.shape[1], picture.shape[0], "yuv420p"
        if art is not None:
            flat = av.VideoFrame.from_ndarray(np.full((16, 16, 3), 128, np.uint8), format="rgb24")
            for packet in [*art.encode(flat), *art.encode(None)]:
                container.mux(packet)
        for k in range(frames):
            frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(picture), format="rgb24")
            frame.pts = k
            for packet in stream.encode(frame):
                container.mux(packet)
        for packet in stream.encode(None):
            container.mux(packet)
    return path


def cover_first(data):
    """The same MP4 with the box of its cover before that of its video."""
    start = data.rindex(b"moov") - 4
    boxes, at = [], start + 8
    while at < len(data):
        end = at + int.from_bytes(data[at : at + 4], "big")
        boxes.append(data[at:end])
        at = end
    order = [b"mvhd", b"udta", b"trak"]
    return data[: start + 8] + b"".join(sorted(boxes, key=lambda box: order.index(box[4:8])))


@pytest.fixture(scope="module")
def plain(tmp_path_factory):
    return video(tmp_path_factory.mktemp("plain") / "plain.mp4").read_bytes()


def test_evenly_spaced_frames_of_a_plain_video(plain, tmp_path):
    (tmp_path / "a.mp4").write_bytes(plain)
    found = list(frames_of(tmp_path / "a.mp4", 3))
    assert [number for number, _ in found] == [1, 3, 5]
    assert all(np.abs(image.astype(int) - QUADRANTS).mean() < 6 for _, image in found)


@pytest.mark.parametrize("ending", ["mp4", "mov", "avi", "mkv"])
@pytest.mark.parametrize("text", ["Zoë".encode("latin-1"), "写真".encode("shift-jis")])
def test_tags_that_are_not_utf8(ending, text, tmp_path):
    path = video(
        tmp_path / f"a.{ending}", "mpeg4" if ending == "avi" else "libx264", tags={"title": "X" * len(text)}
    )
    data = path.read_bytes()
    assert b"X" * len(text) in data
    path.write_bytes(data.replace(b"X" * len(text), text))
    assert len(list(frames_of(path, 2))) == 2


def test_a_cover_picture_is_not_the_video(tmp_path):
    path = video(tmp_path / "cover.mp4", cover=True)
    path.write_bytes(cover_first(path.read_bytes()))
    with av.open(str(path)) as container:
        assert [stream.codec_context.width for stream in container.streams.video] == [16, 64]
    found = list(frames_of(path, 3))
    assert [(number, image.shape) for number, image in found] == [
        (1, (48, 64, 3)),
        (3, (48, 64, 3)),
        (5, (48, 64, 3)),
    ]


def test_a_cover_picture_alone_is_no_video(tmp_path):
    path = video(tmp_path / "cover.mp4", cover=True)
    data = path.read_bytes()
    path.write_bytes(data.replace(b"avc1", b"zzzz"))
    with pytest.raises(DataError):
        list(frames_of(path, 3))


# --- display matrices ---

ONE = 1 << 16
TURNS = [
    (1, 0, 0, 1),
    (0, 1, -1, 0),
    (-1, 0, 0, -1),
    (0, -1, 1, 0),
    (-1, 0, 0, 1),
    (1, 0, 0, -1),
    (0, 1, 1, 0),
    (0, -1, -1, 0),
]


def shown(image, a, b, c, d):
    """The picture by the definition of the matrix: the pixel at (x, y) goes to (ax + cy, bx + dy)."""
    height, width = image.shape[:2]
    places = {(a * x + c * y, b * x + d * y): image[y, x] for y in range(height) for x in range(width)}
    left, top = min(x for x, _ in places), min(y for _, y in places)
    out = np.zeros((width, height, 3) if a == 0 else image.shape, np.uint8)
    for (x, y), pixel in places.items():
        out[y - top, x - left] = pixel
    return out


@pytest.mark.parametrize("turn", TURNS)
def test_every_display_matrix_as_it_is_defined(turn, plain, tmp_path):
    small = np.arange(24, dtype=np.uint8).reshape(2, 4, 3)
    a, b, c, d = turn
    np.testing.assert_array_equal(
        upright(small, np.array([[a, b], [c, d]]) * float(ONE)), shown(small, *turn)
    )
    at = plain.index(b"tkhd") + 4 + 40
    matrix = struct.pack(">9i", a * ONE, b * ONE, 0, c * ONE, d * ONE, 0, 0, 0, 1 << 30)
    (tmp_path / "a.mp4").write_bytes(plain[:at] + matrix + plain[at + 36 :])
    ((_, image),) = frames_of(tmp_path / "a.mp4", 1)
    assert image.shape == shown(QUADRANTS, *turn).shape
    assert np.abs(image.astype(int) - shown(QUADRANTS, *turn)).mean() < 6


@pytest.mark.parametrize("matrix", [np.zeros((2, 2)), np.full((2, 2), np.nan)])
def test_a_matrix_that_shows_nothing_turns_nothing(matrix):
    np.testing.assert_array_equal(upright(QUADRANTS, matrix), QUADRANTS)


# --- hostile files ---


@pytest.mark.parametrize(
    "text",
    [
        "#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\nsecret.mp4\n#EXT-X-ENDLIST\n",
        "ffconcat version 1.0\nfile secret.mp4\n",
        "v=0\no=- 0 0 IN IP4 127.0.0.1\nc=IN IP4 127.0.0.1\nm=video 9 RTP/AVP 96\n",
        "not a video",
        "",
    ],
)
def test_a_playlist_named_as_a_video_opens_nothing_else(text, plain, tmp_path):
    (tmp_path / "secret.mp4").write_bytes(plain)
    (tmp_path / "a.mp4").write_text(text)
    with pytest.raises(DataError, match=r"a\.mp4: is not a readable video"):
        list(frames_of(tmp_path / "a.mp4", 1))


def test_a_picture_named_as_a_video_is_none(tmp_path):
    from tests.manifests.picture_files import picture, saved

    for kind in ("PNG", "GIF", "JPEG"):
        (tmp_path / "a.mp4").write_bytes(saved(picture("P" if kind == "GIF" else "RGB"), kind))
        with pytest.raises(DataError):
            list(frames_of(tmp_path / "a.mp4", 1))


def test_names_that_ffmpeg_takes_for_protocols_are_files(plain, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    from pathlib import Path

    for name in ("concat:a.mp4", "data:,x.mp4", "http:x.mp4", "frame%03d.mp4"):
        Path(name).write_bytes(plain)
        assert len(list(frames_of(Path(name), 1))) == 1


def test_limits_of_size_and_count(plain, tmp_path, monkeypatch):
    path = tmp_path / "a.mp4"
    path.write_bytes(plain)
    monkeypatch.setattr(video_frames, "MAX_FRAMES", 3)
    with pytest.raises(DataError, match="says it has 6 frames, more than 3 are not read"):
        list(frames_of(path, 1))
    monkeypatch.undo()
    monkeypatch.setattr(video_frames, "MAX_FRAME_PIXELS", 1000)
    with pytest.raises(DataError, match=r"has frames of 64 x 48 pixels; up to 0\.001 megapixels are read"):
        list(frames_of(path, 1))


def sizes(data, each):
    """An MP4 that declares 67 million samples of `each` bytes (0: of sizes that a table gives)."""
    at = data.index(b"stsz") + 8
    return data[:at] + struct.pack(">II", each, 1 << 26) + data[at + 8 :]


def fragment(data):
    """An MP4 with a fragment of 67 million frames after its end."""
    body = struct.pack(">I4sII", 16, b"trun", 0, 1 << 26)
    return data + struct.pack(">I4s", 8 + len(body), b"moof") + body


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda data: sizes(data, 1), "samples of 1 bytes, more than the file is long"),
        (lambda data: sizes(data, 0), "67108864 frames, more than 2000000 are not read"),
        (lambda data: b"\0\0\0\x08abcd" + sizes(data, 0), "67108864 frames, more than 2000000 are not read"),
        (fragment, "frames in one fragment"),
    ],
)
def test_tables_of_millions_in_a_file_of_kilobytes_are_not_built(
    change, reason, plain, tmp_path, monkeypatch
):
    path = tmp_path / "a.mp4"
    path.write_bytes(change(plain))
    monkeypatch.setattr(av, "open", None)
    with pytest.raises(DataError, match=reason):
        list(frames_of(path, 1))


def test_the_sound_of_a_long_video_has_many_samples(plain):
    sound = b"hdlr" + bytes(8) + b"soun" + b"stsz" + struct.pack(">III", 0, 4, 3_000_000)
    assert mp4_tables._excess(sound, 12_000_000, 2_000_000) is None
    assert "more than the file is long" in mp4_tables._excess(sound, 11_999_999, 2_000_000)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\0\0\0\1moov",
        b"\0\0\0\0moov",
        b"\0\0\0\7moov",
        b"\0\0\0\x10moovcmov",
        b"\0\0\0\x10moovstsz",
        b"\xff" * 40,
    ],
)
def test_heads_of_any_kind_come_to_an_end(data, tmp_path):
    (tmp_path / "a.mp4").write_bytes(data)
    assert (mp4_tables.too_many_samples(tmp_path / "a.mp4", 10) is None) == (b"cmov" not in data)


def test_a_video_that_declares_no_count_is_counted_up_to_the_limit(tmp_path, monkeypatch):
    path = video(tmp_path / "a.mkv")
    assert len(list(frames_of(path, 2))) == 2
    monkeypatch.setattr(video_frames, "MAX_FRAMES", 3)
    with pytest.raises(DataError, match="has more than 3 frames"):
        list(frames_of(path, 1))


def test_what_is_no_file_and_a_count_of_nothing(tmp_path):
    for path in (tmp_path, tmp_path / "none.mp4"):
        with pytest.raises(DataError, match="is not there"):
            list(frames_of(path, 1))
    with pytest.raises(UsageError):
        list(frames_of(tmp_path / "none.mp4", 0))


def test_without_the_package_the_extra_is_named(plain, tmp_path, monkeypatch):
    (tmp_path / "a.mp4").write_bytes(plain)
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(MissingError, match="needs the package 'av'") as caught:
        list(frames_of(tmp_path / "a.mp4", 1))
    assert "fairforge[video]" in caught.value.fix


@settings(max_examples=150, deadline=10_000)
@given(
    edits=st.lists(
        st.tuples(
            st.integers(0, 1 << 16), st.sampled_from([b"\0", b"\xff", b"\xff\xff\xff\xff", b"\0\0\0\0", b"x"])
        ),
        min_size=1,
        max_size=6,
    ),
    cut=st.integers(0, 1 << 16),
)
def test_mutated_videos_are_frames_or_a_data_error(plain, tmp_path_factory, edits, cut):
    data = bytearray(plain)
    for at, new in edits:
        data[at % len(data) : at % len(data) + len(new)] = new
    path = tmp_path_factory.getbasetemp() / "mutated.mp4"
    path.write_bytes(data[: cut % len(data)] if cut % 3 == 0 else data)
    try:
        found = list(frames_of(path, 2))
    except DataError:
        return
    assert all(image.dtype == np.uint8 and image.ndim == 3 for _, image in found)


def test_an_import_goes_on_after_a_video_that_cannot_be_read(plain, tmp_path):
    part = tmp_path / "dfdc_train_part_0"
    part.mkdir()
    (part / "good.mp4").write_bytes(plain)
    (part / "cut.mp4").write_bytes(plain[:300])
    (part / "list.mp4").write_text("#EXTM3U\nsecret.mp4\n")
    labels = {"good.mp4": "REAL", "cut.mp4": "FAKE", "list.mp4": "FAKE", "gone.mp4": "FAKE"}
    (part / "metadata.json").write_text(
        json.dumps({name: {"label": label} for name, label in labels.items()})
    )
    result = import_images("dfdc", tmp_path, tmp_path / "out", params={"frames": 2})
    assert (result.n_images, result.n_skipped) == (2, 3)
    assert {key.rsplit("/", 1)[-1] for key in skipped(tmp_path / "out")} == {"cut", "list", "gone"}


def test_frames_through_h264_know_no_tags_either():
    assert h264.through_h264(QUADRANTS, 23).shape == QUADRANTS.shape
    assert "av" in sys.modules
