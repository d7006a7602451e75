"""Clips as they come: each odd one is a row with its reason, or is used and says what was odd."""

from fractions import Fraction

import av
import numpy as np
import pytest

from manifests.clips.facts import clip_facts
from manifests.clips.reading import frames_at
from pipeline.commands.audio_visual.features import own_features
from pipeline.commands.audio_visual.prediction import predict_clips
from pipeline.commands.audio_visual.sources import clips_of
from pipeline.commands.audio_visual.training import train_command
from tests.audio_visual.av_clips import BarReader
from tests.audio_visual.test_av_commands import SETTINGS, clip_set
from tests.clips.clip_files import SIDE, envelope, make_clip, picture, sound_like

WAVE = sound_like(envelope(1), 1)


def muxed(container, stream, frame):
    for packet in [*stream.encode(frame), *stream.encode(None)]:
        container.mux(packet)


def written(path, times=None, wave=None, *, rate=16_000, cover=False, tag=None, form="mp4"):
    """A clip of frames at times in seconds (none without), a sound of any rate, and a cover picture."""
    with av.open(str(path), "w", format=form) as container:
        if tag is not None:
            container.metadata["title"] = tag
        seen = heard = shown = None
        if times is not None:
            seen = container.add_stream("mpeg4", rate=25)
            seen.width = seen.height = SIDE
            seen.pix_fmt, seen.bit_rate = "yuv420p", 1_000_000
            seen.codec_context.time_base = Fraction(1, 1000)
        if wave is not None:
            heard = container.add_stream("aac", rate=rate, layout="mono")
        if cover:
            shown = container.add_stream("mjpeg", rate=1)
            shown.width = shown.height = 64
            shown.pix_fmt, shown.disposition = "yuvj420p", av.stream.Disposition.attached_pic
        if shown is not None:
            frame = av.VideoFrame.from_ndarray(np.full((64, 64, 3), 250, np.uint8), format="rgb24")
            frame.pts = 0
            muxed(container, shown, frame)
        if seen is not None:
            for at, level in zip(times, np.resize(envelope(1), len(times)), strict=True):
                frame = av.VideoFrame.from_ndarray(picture(level), format="rgb24")
                frame.pts, frame.time_base = round(1000 * at), Fraction(1, 1000)
                for packet in seen.encode(frame):
                    container.mux(packet)
            for packet in seen.encode(None):
                container.mux(packet)
        if heard is not None and len(wave):
            frame = av.AudioFrame.from_ndarray(wave[None].astype(np.float32), format="fltp", layout="mono")
            frame.sample_rate, frame.pts = rate, 0
            muxed(container, heard, frame)
    return path


def no_utf8(path):
    data = bytearray(written(path, np.arange(20) / 25, WAVE, tag="caf+words").read_bytes())
    data[data.index(b"caf+") + 3] = 0xE9
    path.write_bytes(data)


EVEN = np.arange(20) / 25
FAILED = {
    "no-sound": (lambda path: written(path, EVEN), "has no sound"),
    "sound-alone": (lambda path: written(path, None, WAVE), "has no video stream"),
    "cover-alone": (lambda path: written(path, None, WAVE, cover=True), "has no video stream"),
    "no-samples": (lambda path: written(path, EVEN, np.zeros(0, np.float32)), "has no sound"),
    "empty": (lambda path: path.write_bytes(b""), "it is empty"),
    "no-frame": (lambda path: written(path, [], WAVE), "has no"),
    "one-frame": (lambda path: written(path, [0.0], WAVE), "has less than 0.08 s"),
    "text": (lambda path: path.write_bytes(b"words"), "is not a readable video"),
    "cut-off": (
        lambda path: path.write_bytes(written(path, EVEN, WAVE).read_bytes()[:900]),
        "is not a readable video",
    ),
}
USED = {
    "plain": (lambda path: make_clip(path, 1), "", 20),
    "longer-sound": (lambda path: written(path, EVEN, np.tile(WAVE, 2)), "s longer than its picture", 20),
    "shorter-sound": (lambda path: written(path, EVEN, WAVE[:6400]), "s shorter than its picture", 11),
    "uneven": (
        lambda path: written(path, [0, 0.04, 0.08, 0.4, 0.44, 0.48, 0.76], WAVE),
        "its frame rate varies",
        20,
    ),
    "eight-kilohertz": (
        lambda path: written(path, EVEN, WAVE[::2].copy(), rate=8000),
        "its sound has 8000 samples a second",
        20,
    ),
    "cover": (lambda path: written(path, EVEN, WAVE, cover=True), "", 20),
    "no-utf8": (no_utf8, "", 20),
    "matroska": (lambda path: written(path, EVEN, WAVE, form="matroska"), "", 20),
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    place = tmp_path_factory.mktemp("odd")
    for name, (make, *_) in {**FAILED, **USED}.items():
        make(place / f"{name}.mp4")
    return place


@pytest.fixture(scope="module")
def rows(folder, tmp_path_factory):
    table = own_features(clips_of([folder]), tmp_path_factory.mktemp("features"), reader=BarReader())
    return {row["clip_id"].removesuffix(".mp4"): row for row in table.to_pylist()}


def test_every_clip_has_one_row(rows):
    assert set(rows) == {*FAILED, *USED}


@pytest.mark.parametrize("name", FAILED)
def test_a_clip_that_cannot_be_used_is_a_row_with_its_reason(rows, name):
    assert rows[name]["status"] == "failed"
    assert FAILED[name][1] in rows[name]["reason"]
    assert rows[name]["file"] is None


@pytest.mark.parametrize("name", USED)
def test_a_clip_that_is_odd_is_used_and_says_so(rows, name):
    _, note, frames = USED[name]
    row = rows[name]
    assert row["status"] == "ok", row["reason"]
    assert note in row["notes"] if note else row["notes"] == ""
    assert row["frames"] == pytest.approx(frames, abs=1)


def test_prediction_has_the_same_rows_and_reasons(folder, rows, tmp_path):
    own_features(clips_of([clip_set(tmp_path / "m")]), tmp_path / "f", reader=BarReader())
    train_command(tmp_path / "f", tmp_path / "d", SETTINGS, encoder=None, fresh=False, quiet=True)
    found = predict_clips([folder], tmp_path / "d", mouths=BarReader())
    assert [(row["path"], row["status"], row["reason"]) for row in found] == [
        (row["clip_id"], row["status"], row["reason"]) for row in rows.values()
    ]
    assert {row["path"] for row in found if row["scores"] is not None} == {f"{name}.mp4" for name in USED}


def test_the_picture_of_a_clip_with_a_cover_is_its_own(folder):
    assert clip_facts(folder / "cover.mp4").width == SIDE
    assert next(frames_at(folder / "cover.mp4")).shape == (SIDE, SIDE, 3)


def test_a_clip_without_a_face_is_a_row_by_the_embedded_face_models(tmp_path):
    make_clip(tmp_path / "bar.mp4", 1, 4, side=64)
    table = own_features(clips_of([tmp_path / "bar.mp4"]), tmp_path / "f")
    assert table["status"].to_pylist() == ["failed"]
    assert table["reason"].to_pylist() == ["has a face in 0 of 4 frames"]
