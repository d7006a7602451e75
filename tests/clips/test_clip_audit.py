"""Silence planted in the fakes is found and named; the same set without it passes; and what mends it."""

import numpy as np
import pytest

from manifests import read_manifest, validate
from manifests.atomic import digest_file
from manifests.audit import AUDITS, audit_manifest, shortcut
from manifests.audit.clip_features import CLIP_FEATURES, clip_features
from manifests.clips.reading import PER_FRAME, RATE, clip_sound, frames_at, sound_of
from manifests.clips.rewriting import Rewrite, rewrite, window
from manifests.clips.silence import leading_silence
from manifests.errors import DataError, UsageError
from manifests.records import ImageRecord
from manifests.store import table_of, write_manifest
from tests.clips.clip_files import envelope, make_clip, sound_like

FAST = {"clip-shortcut": {"folds": 2, "replicates": 20, "min_images": 10}}


@pytest.fixture(autouse=True)
def one_judge(monkeypatch):
    """The linear judge alone: forests take most of an audit's time, and are tested with the audit of
    pictures.
    """
    models = shortcut._models
    monkeypatch.setattr(shortcut, "_models", lambda seed: models(seed)[:1])


def made_set(folder, pairs=12, frames=6, **how):
    """Real clips and fakes with another clip's sound, written alike."""
    rows = []
    for k in range(pairs):
        for label in (0, 1):
            name = f"{k:02d}{label}"
            heard = sound_like(envelope(100 + k, frames), 100 + k) if label else None
            make_clip(folder / f"clips/{name}.mp4", k, frames, side=16, heard=heard, **how)
            rows.append(
                ImageRecord(
                    image_id=name,
                    path=f"clips/{name}.mp4",
                    sha256=digest_file(folder / f"clips/{name}.mp4"),
                    width=16,
                    height=16,
                    label=label,
                    method="foreign-sound" if label else "none",
                    family="reenact" if label else "none",
                    media="video",
                    frames=frames,
                    fps=25,
                    duration=frames / 25,
                    identity_id=f"p{k}",
                    pair_id=f"{k}",
                    split="test",
                    cell=("White/Male", "Black/Female")[k % 2],
                    race=("White", "Black")[k % 2],
                    gender=("Male", "Female")[k % 2],
                    fake_segments=[0.0, frames / 25] if label else None,
                )
            )
    write_manifest(table_of(rows, taxonomy="fairface4"), folder / "manifest.parquet")
    return folder


@pytest.fixture(scope="module")
def clean(tmp_path_factory):
    return made_set(tmp_path_factory.mktemp("clips"))


def looked(folder):
    """The audit over all cells at once: two questions, not six."""
    found = read_manifest(folder)
    found = found.set_column(found.column_names.index("cell"), "cell", [[None] * found.num_rows]).cast(
        found.schema
    )
    return AUDITS.create("clip-shortcut", FAST["clip-shortcut"]).run(found, folder, 3).model_dump()


def test_a_clean_set_passes_and_planted_silence_is_found_and_named(clean, tmp_path):
    before = looked(clean)
    assert before["passed"], before["findings"]
    assert before["figures"]["clips"] == 24
    made = rewrite(clean, tmp_path / "planted", Rewrite(plant=(0.025, 0.03), lossless=True))
    assert (made.clips, made.skipped) == (24, ())
    assert validate(made.manifest) == []
    for row in read_manifest(made.manifest).to_pylist():
        silence = leading_silence(sound_of(made.manifest.parent / row["path"]))
        assert (0.025 <= silence <= 0.031) == (row["label"] == 1)
    after = looked(made.manifest.parent)
    assert not after["passed"]
    figure = after["figures"]["questions"]["real or fake (sound)"]
    assert figure["auc"] > 0.97
    assert (figure["feature"], figure["feature_auc"]) == ("leading_silence", 1.0)
    assert any("leading_silence" in finding for finding in after["findings"])
    mended = rewrite(made.manifest, tmp_path / "mended", Rewrite(trim=True, seconds=0.16, lossless=True))
    assert looked(mended.manifest.parent)["passed"]


def test_the_remedy_cuts_whole_frames_so_that_sound_and_picture_stay_in_step(clean, tmp_path):
    made = rewrite(clean, tmp_path / "a", Rewrite(trim=True, seconds=0.12, lossless=True))
    row = next(row for row in read_manifest(made.manifest).to_pylist() if row["image_id"] == "041")
    path = made.manifest.parent / row["path"]
    assert (row["frames"], row["duration"], row["codec"], row["audio_path"]) == (
        3,
        pytest.approx(0.12),
        "h264+alac",
        None,
    )
    assert row["fake_segments"] == pytest.approx([0, 0.12])
    whole = clip_sound(clean / "clips/041.mp4")
    assert clip_sound(path) == pytest.approx(whole[PER_FRAME : 4 * PER_FRAME], abs=1e-3)
    bars = [
        [(image[:, 8, 0] > 140).mean() for image in frames_at(one)] for one in (path, clean / "clips/041.mp4")
    ]
    assert bars[0] == pytest.approx(bars[1][1:4], abs=0.07)


def test_called_again_it_goes_on_and_another_setting_starts_again(clean, tmp_path):
    how = Rewrite(lossless=True)
    made = rewrite(clean, tmp_path / "a", how)
    first = {row["path"]: row["sha256"] for row in read_manifest(made.manifest).to_pylist()}
    paths = sorted((tmp_path / "a/clips").rglob("*.mp4"))
    paths[0].unlink()
    times = [path.stat().st_mtime_ns for path in paths[1:]]
    again = rewrite(clean, tmp_path / "a", how)
    found = {row["path"]: row["sha256"] for row in read_manifest(again.manifest).to_pylist()}
    made_again = paths[0].relative_to(tmp_path / "a").as_posix()
    assert {name: sha for name, sha in found.items() if name != made_again} == {
        name: sha for name, sha in first.items() if name != made_again
    }
    assert validate(again.manifest) == []
    assert [path.stat().st_mtime_ns for path in paths[1:]] == times
    rewrite(clean, tmp_path / "a", Rewrite(lossless=True, crf=30))
    assert all(path.stat().st_mtime_ns != time for path, time in zip(paths[1:], times, strict=True))


def test_window_against_a_loop():
    for seed in range(20):
        rng = np.random.default_rng(seed)
        sound = rng.uniform(0.1, 1, int(rng.integers(3000, 9000))).astype(np.float32)
        sound[: rng.integers(0, 2000)] = 0
        sound[len(sound) - rng.integers(0, 1500) :] = 0
        frames = int(rng.integers(6, 20))
        loud = [k for k, value in enumerate(sound) if value > 0.0005]
        first = int(loud[0] / RATE * 25) + 1
        last = min(frames, (loud[-1] + 1) * 25 // RATE)
        assert window(sound, frames, Rewrite(trim=True)) == (first, last - first)


@pytest.mark.parametrize("bad", [{"seconds": 0.0}, {"plant": (0.03, 0.02)}, {"plant": (0.0, 0.02)}])
def test_lengths_that_are_none_are_refused(bad):
    with pytest.raises(UsageError):
        Rewrite(**bad)


def test_clips_too_short_are_left_out_with_their_reason(clean, tmp_path):
    with pytest.raises(DataError, match=r"0\.24 s that can be used, 9\.00 s are needed"):
        rewrite(clean, tmp_path / "a", Rewrite(seconds=9.0))
    assert (tmp_path / "a/skipped.csv").read_text().count("are needed") == 24
    with pytest.raises(UsageError, match="own folder"):
        rewrite(clean, clean, Rewrite())


def test_every_audit_says_which_media_it_sees_and_images_are_not_asked_about_clips(clean):
    assert {entry.facts.get("media", "image") for entry in AUDITS.entries()} <= {"image", "video", "any"}
    report = audit_manifest(clean, ["shortcut", "duplicates", "leaks"], None, 1)
    assert report["audits"]["shortcut"]["figures"]["images"] == 0
    assert report["audits"]["duplicates"]["figures"]["images"] == 0
    assert report["audits"]["leaks"]["figures"]["images"] == 24


def test_features_of_clips_without_sound_and_of_none(tmp_path):
    values = dict(zip(CLIP_FEATURES, clip_features(make_clip(tmp_path / "a.mp4", sound=False)), strict=True))
    assert (values["has_sound"], values["silent_share"], values["frames"]) == (0, 1, 20)
    with pytest.raises(DataError, match="gone"):
        clip_features(tmp_path / "gone.mp4")
