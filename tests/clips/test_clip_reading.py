"""Reading clips: what their files say, frames by their times, sound in step, silence; and files that lie or
lack something.
"""

import struct
from fractions import Fraction

import av
import numpy as np
import pytest

from manifests.clips.encoding import encode_clip
from manifests.clips.facts import clip_facts, sound_facts
from manifests.clips.reading import RATE, clip_sound, frames_at, in_step, notes_of, sound_of
from manifests.clips.silence import (
    FLOOR,
    frames_of_silence,
    leading_silence,
    loudness,
    plant_silence,
    trailing_silence,
    without_start,
)
from manifests.errors import DataError, UsageError
from tests.clips.clip_files import SIDE, envelope, make_clip, picture, sound_like, write_wav


def bars(images):
    """How high the bar of each frame is, as a share."""
    return [float((image[:, image.shape[1] // 2, 0] > 140).mean()) for image in images]


def write(path, times, levels, *, clock=Fraction(1, 1000), wave=None, rate=16_000, tag=None):
    """A Matroska file with frames at times in seconds, and sound of any rate."""
    with av.open(str(path), "w", format="matroska") as container:
        stream = container.add_stream("mpeg4", rate=25)
        stream.width = stream.height = SIDE
        stream.pix_fmt, stream.bit_rate = "yuv420p", 1_000_000
        stream.codec_context.time_base = clock
        heard = None
        if wave is not None:
            heard = container.add_stream("pcm_s16le", rate=rate, layout="mono")
        if tag is not None:
            container.metadata["title"] = tag
        for at, level in zip(times, levels, strict=True):
            frame = av.VideoFrame.from_ndarray(picture(level), format="rgb24")
            frame.pts, frame.time_base = round(at / clock), clock
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
        if heard is not None:
            frame = av.AudioFrame.from_ndarray(
                np.round(wave * 32767).astype(np.int16)[None], format="s16", layout="mono"
            )
            frame.sample_rate, frame.pts = rate, 0
            container.mux([*heard.encode(frame), *heard.encode(None)])
    return path


def test_facts_frames_and_sound_of_a_clip(tmp_path):
    levels = envelope(1)
    path = make_clip(tmp_path / "a.mp4", 1)
    facts = clip_facts(path)
    assert (facts.codec, facts.width, facts.height, facts.frames, facts.uneven) == (
        "h264",
        SIDE,
        SIDE,
        20,
        False,
    )
    assert (facts.fps, facts.duration) == pytest.approx((25, 0.8))
    assert (facts.sound.codec, facts.sound.sample_rate, facts.sound.channels) == ("alac", RATE, 1)
    assert bars(frames_at(path)) == pytest.approx(
        [round(float(level) * SIDE) / SIDE for level in levels], abs=1.1 / SIDE
    )
    wave = sound_like(levels, 1)
    assert clip_sound(path) == pytest.approx(wave.clip(-1, 1), abs=1e-4)
    assert notes_of(facts, clip_sound(path)) == []


def test_aac_comes_back_in_step_and_the_same_input_gives_the_same_bytes(tmp_path):
    path = make_clip(tmp_path / "a.mp4", 2, lossless=False)
    wave, back = sound_like(envelope(2), 2), clip_sound(path)
    n = len(wave) - 1024
    best = max(
        range(-700, 701, 50),
        key=lambda shift: float(np.corrcoef(np.roll(wave, shift)[1024:n], back[1024:n])[0, 1]),
    )
    assert best == 0
    first = path.read_bytes()
    assert make_clip(path, 2, lossless=False).read_bytes() == first


@pytest.mark.parametrize("side", [33, 34, 50])
def test_frames_of_any_size_are_written_as_they_are_and_alike_each_time(tmp_path, side):
    path = make_clip(tmp_path / "a.mp4", 2, 4, side=side)
    even = side + side % 2
    assert [image.shape for image in frames_at(path)] == [(even, even, 3)] * 4
    column = picture(envelope(2, 4)[0], side)[:, side // 2, 0]
    assert next(frames_at(path))[:side, side // 2].mean(1) == pytest.approx(column, abs=12)
    first = path.read_bytes()
    make_clip(tmp_path / "b.mp4", 3, 9, side=24)
    assert make_clip(path, 2, 4, side=side).read_bytes() == first


def test_frames_are_taken_by_their_times(tmp_path):
    """50 frames a second, and a rate that varies, give what is shown at each 25th of a second."""
    fast = write(tmp_path / "fast.mkv", np.arange(40) / 50, np.repeat(np.linspace(0.2, 0.8, 20), 2))
    assert bars(frames_at(fast)) == pytest.approx(
        np.round(np.linspace(0.2, 0.8, 20) * SIDE) / SIDE, abs=1.1 / SIDE
    )
    uneven = write(tmp_path / "uneven.mkv", [0, 0.04, 0.08, 0.4, 0.44], [0.2, 0.3, 0.4, 0.6, 0.8])
    facts = clip_facts(uneven)
    found = bars(frames_at(uneven))
    assert facts.uneven
    assert len(found) == 12
    assert found[2:10] == pytest.approx([found[2]] * 8, abs=1.1 / SIDE)
    assert found[10] == pytest.approx(0.6, abs=1.1 / SIDE)
    assert any("varies" in note for note in notes_of(facts, np.zeros(int(facts.duration * RATE), np.float32)))


def test_eight_kilohertz_and_longer_sound_are_used_and_noted(tmp_path):
    wave = np.sin(np.arange(16_000) * 0.3).astype(np.float32) * 0.5
    path = write(tmp_path / "a.mkv", np.arange(20) / 25, [0.5] * 20, wave=wave, rate=8000)
    sound, facts = clip_sound(path), clip_facts(path)
    assert len(sound) == pytest.approx(32_000, abs=64)
    told = notes_of(facts, sound)
    assert any("8000 samples" in note for note in told)
    assert any("1.20 s longer" in note for note in told)


def test_tags_that_are_no_utf8_and_cover_pictures_do_no_harm(tmp_path):
    data = bytearray(
        write(
            tmp_path / "a.mkv",
            np.arange(5) / 25,
            [0.5] * 5,
            wave=np.full(3200, 0.2, np.float32),
            tag="caf+words",
        ).read_bytes()
    )
    at = data.index(b"caf+")
    data[at + 3] = 0xE9
    (tmp_path / "b.mkv").write_bytes(data)
    assert clip_facts(tmp_path / "b.mkv").frames == 5
    assert len(sound_of(tmp_path / "b.mkv")) == 3200


def test_a_sound_file_with_a_cover_is_no_clip(tmp_path):
    write_wav(tmp_path / "a.wav", np.full(3200, 0.2, np.float32))
    with pytest.raises(DataError, match="not a readable video"):
        clip_facts(tmp_path / "a.wav")
    assert sound_facts(tmp_path / "a.wav").duration == pytest.approx(0.2)


BAD = {"empty": b"", "text": b"#EXTM3U\nhttp://example.org/a.ts\n", "cut": None, "none": None}


@pytest.mark.parametrize("kind", BAD)
@pytest.mark.parametrize(
    "read",
    [clip_facts, lambda path: list(frames_at(path)), sound_of, sound_facts, clip_sound],
    ids=["facts", "frames", "sound", "sound facts", "clip sound"],
)
def test_every_reader_refuses_what_is_no_clip_with_its_name(tmp_path, kind, read):
    path = tmp_path / "a.mp4"
    if kind == "cut":
        path.write_bytes(make_clip(tmp_path / "b.mp4").read_bytes()[:300])
    elif kind != "none":
        path.write_bytes(BAD[kind])
    with pytest.raises(DataError, match=r"a\.mp4"):
        read(path)


def test_no_sound_and_silent_lengths(tmp_path):
    path = make_clip(tmp_path / "a.mp4", sound=False)
    assert clip_facts(path).sound is None
    with pytest.raises(DataError, match="has no sound"):
        sound_of(path)
    with pytest.raises(DataError, match="no frame"):
        encode_clip(tmp_path / "b.mp4", [], None)
    with pytest.raises(UsageError, match="out of range"):
        encode_clip(tmp_path / "b.mp4", [picture(0.5)], None, crf=99)
    assert not (tmp_path / "b.mp4").exists()


def test_sound_that_is_not_finite_is_refused(tmp_path):
    path = write_wav(tmp_path / "a.wav", np.full(3200, 0.2, np.float32))
    data = path.read_bytes()
    head = data.index(b"fmt ")
    samples = struct.pack("<4f", 0.1, float("nan"), 0.2, 0.3)
    body = (
        b"fmt "
        + struct.pack("<IHHIIHH", 16, 3, 1, RATE, 4 * RATE, 4, 32)
        + b"data"
        + struct.pack("<I", len(samples))
        + samples
    )
    path.write_bytes(data[:4] + struct.pack("<I", 4 + len(body)) + data[8:head] + body)
    with pytest.raises(DataError, match="not finite"):
        sound_of(path)


# --- silence, against loops ---


def brute_silence(sound):
    for k, value in enumerate(sound):
        if abs(float(value)) > 0.0005:
            return k / 16_000
    return len(sound) / 16_000


@pytest.mark.parametrize("seed", range(6))
def test_silence_and_trimming(seed):
    rng = np.random.default_rng(seed)
    sound = (rng.standard_normal(5000) * 10 ** rng.uniform(-5, -2)).astype(np.float32)
    sound[: rng.integers(0, 2000)] *= 1e-3
    assert leading_silence(sound) == brute_silence(sound)
    assert trailing_silence(sound) == brute_silence(sound[::-1])
    assert leading_silence(plant_silence(sound, 0.0275)) >= min(440, len(sound)) / 16_000
    assert frames_of_silence(0.03) == 1
    assert frames_of_silence(0.0801) == 3
    assert np.array_equal(without_start(sound, 2), sound[1280:])


def test_loudness_and_shifts():
    assert loudness(np.zeros(5, np.float32)) == FLOOR
    assert loudness(np.full(64, 0.5, np.float32)) == pytest.approx(-6.0206, abs=1e-3)
    sound = np.arange(1, 5, dtype=np.float32)
    assert in_step(sound, 2 / RATE).tolist() == [0, 0, 1, 2, 3, 4]
    assert in_step(sound, -2 / RATE).tolist() == [3, 4]
