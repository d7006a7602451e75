"""Fakes of real clips by their sound alone: the same picture, sounds moved by whole samples, nobody's own as
foreign.
"""

from collections import Counter

import numpy as np
import pyarrow as pa
import pytest

from benchmarks.planted_silence import only
from benchmarks.real_clips import MARGIN, SHIFTS, make_set, method_of, sound_at, sounds_of
from manifests import validate
from manifests.atomic import digest_file
from manifests.clips.reading import PER_FRAME, RATE, clip_sound, frames_at
from manifests.errors import DataError
from manifests.records import ImageRecord
from manifests.store import read_manifest, table_of, write_manifest
from tests.clips.clip_files import make_clip

FRAMES = 2 * MARGIN + 26


def test_sounds_are_moved_by_samples_as_by_a_loop():
    own = np.arange(80 * PER_FRAME, dtype=np.float32)
    other = -np.arange(60 * PER_FRAME, dtype=np.float32)
    found = dict(sounds_of(own, other, 54))
    assert len(found) == 2 + len(SHIFTS) == 10
    for shift in (0.0, *SHIFTS):
        wanted = [MARGIN * PER_FRAME + round(shift * RATE) + k for k in range(54 * PER_FRAME)]
        assert found["none" if shift == 0 else method_of(shift)].tolist() == wanted
    assert found["foreign-sound"].max() <= 0
    assert len(found["foreign-sound"]) == 54 * PER_FRAME
    assert (method_of(0.5), method_of(-0.2)) == ("sound-early-0.5", "sound-late-0.2")
    with pytest.raises(DataError, match="too little"):
        sound_at(own[: 60 * PER_FRAME], 54, 0.0)


def clips_of_speakers(folder, lengths):
    rows = []
    for k, frames in enumerate(lengths):
        path = make_clip(folder / f"clips/{k}.mp4", k, frames)
        rows.append(
            ImageRecord(
                image_id=f"{k}",
                path=f"clips/{k}.mp4",
                sha256=digest_file(path),
                width=32,
                height=32,
                label=0,
                media="video",
                frames=frames,
                fps=25,
                duration=frames / 25,
                method="none",
                family="none",
                identity_id=f"s{k % 2}",
                split="test",
            )
        )
    write_manifest(table_of(rows, taxonomy="fairface4"), folder / "manifest.parquet")
    return folder


def test_a_set_shows_each_picture_ten_times_and_says_what_is_too_short(tmp_path):
    source = clips_of_speakers(tmp_path / "m", [FRAMES, FRAMES, 30, FRAMES])
    made, left = make_set(source, tmp_path / "s", "clip", 1)
    assert len(left) == 1
    assert left[0].startswith("2: shows 4 frames")
    rows = read_manifest(made).to_pylist()
    assert Counter(row["method"] for row in rows) == dict.fromkeys(
        ["none", "foreign-sound", *map(method_of, SHIFTS)], 3
    )
    assert {row["split"] for row in rows} == {"test"}
    assert len({row["identity_id"] for row in rows}) == 3
    by = {(row["pair_id"], row["method"]): row for row in rows}
    assert len({(row["pair_id"], row["sha256"]) for row in rows}) == 3
    assert validate(made / "manifest.parquet") == []
    whole = clip_sound(source / "clips/0.mp4")
    row = by["00000", method_of(0.5)]
    heard = clip_sound(made / row["path"], made / row["audio_path"])
    shown = list(frames_at(made / row["path"]))
    assert len(shown) == FRAMES - 2 * MARGIN
    first = list(frames_at(source / "clips/0.mp4"))[MARGIN]
    assert np.abs(shown[0].astype(float) - first).mean() < 12
    at = MARGIN * PER_FRAME + round(0.5 * RATE)
    assert heard == pytest.approx(whole[at : at + len(shown) * PER_FRAME], abs=1e-4)
    again, _ = make_set(source, tmp_path / "t", "speaker", 1, limit=2)
    assert {row["identity_id"] for row in read_manifest(again).to_pylist()} == {"s0", "s1"}
    shown, short = make_set(source, tmp_path / "v", "clip", 1, whole=True)
    assert short == []
    kinds = Counter((row["method"], row["frames"]) for row in read_manifest(shown).to_pylist())
    assert kinds == {(m, n): 3 if n == FRAMES else 1 for m in ("none", "foreign-sound") for n in (FRAMES, 30)}
    with pytest.raises(DataError, match="fewer than two"):
        make_set(source, tmp_path / "u", "clip", 1, limit=1)


def test_a_set_of_some_kinds_of_fakes_has_the_same_files(tmp_path):
    source = clips_of_speakers(tmp_path / "m", [6, 6, 6])
    table = read_manifest(source)
    kinds = pa.array(["none", "av-foreign", "av-shift"])
    for name, values in (("method", kinds), ("label", pa.array([0, 1, 1], pa.int8()))):
        at = table.column_names.index(name)
        table = table.set_column(at, table.schema.field(name), values)
    families = pa.array(["none", "swap", "edit"])
    table = table.set_column(table.column_names.index("family"), table.schema.field("family"), families)
    write_manifest(table, source / "manifest.parquet")
    kept = only(source, tmp_path / "k", ["av-foreign"])
    assert read_manifest(kept)["method"].to_pylist() == ["none", "av-foreign"]
    assert validate(kept / "manifest.parquet") == []
    assert sorted(path.name for path in (kept / "clips").iterdir()) == ["0.mp4", "1.mp4"]
