"""Datasets of clips: small trees of the published layouts with the traps that are known of them."""

import csv
import json
from collections import Counter

import pytest

from manifests import read_manifest, validate
from manifests.adapters import ADAPTERS, import_images
from manifests.adapters.clips import segments_of
from manifests.errors import MissingError, UsageError
from manifests.values import BadValue
from tests.clips.clip_files import clip_bytes, sound_like, write_wav

CLIPS = [entry.name for entry in ADAPTERS.entries() if entry.facts.get("media") == "video"]


def put(path, key=0, sound=True):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(clip_bytes(key, 4, sound))


def skipped(out):
    with open(out / "skipped.csv", newline="") as file:
        return {row["key"]: row["reason"] for row in csv.DictReader(file)}


def imported(adapter, source, out, taxonomy="fairface4", **params):
    result = import_images(adapter, source, out, taxonomy, params)
    assert validate(result.manifest) == []
    return read_manifest(result.manifest).to_pylist()


# --- FakeAVCeleb ---

HEAD = "source,target1,target2,method,category,type,race,gender,path,\n"
KINDS = {
    "A": "RealVideo-RealAudio",
    "B": "RealVideo-FakeAudio",
    "C": "FakeVideo-RealAudio",
    "D": "FakeVideo-FakeAudio",
}


def fakeavceleb(root):
    rows = [
        ("id1", "-", "-", "real", "A", "African", "men", "a.mp4"),
        ("id1", "id2", "-", "wav2lip", "C", "African", "men", "b.mp4"),
        ("id1", "id2", "-", "faceswap-wav2lip", "C", "African", "men", "b.mp4"),
        ("id2", "id1", "-", "fsgan", "C", "Asian (East)", "women", "c.mp4"),
        ("id2", "-", "-", "rtvc", "B", "Asian (East)", "women", "d.mp4"),
        ("id3", "-", "-", "real", "A", "Asian (South)", "women", "e.mp4"),
        ("id4", "-", "-", "real", "A", "Caucasian (American)", "men", "f.mp4"),
        ("id5", "id4", "-", "faceswap", "C", "Martian", "men", "g.mp4"),
        ("id6", "-", "-", "real", "Z", "African", "men", "h.mp4"),
        ("id7", "-", "-", "real", "A", "African", "men", "gone.mp4"),
    ]
    lines = [HEAD]
    for kind in KINDS.values():
        (root / kind).mkdir(parents=True)
    for k, (source, one, two, method, category, race, gender, name) in enumerate(rows):
        kind = KINDS.get(category, "Unknown")
        folder = f"FakeAVCeleb/{kind}/{race.split()[0]}/{gender}/{source}"
        lines.append(f"{source},{one},{two},{method},{category},{kind},{race},{gender},{name},{folder}\n")
        if name != "gone.mp4":
            put(root / folder.removeprefix("FakeAVCeleb/") / name, k)
    (root / "meta_data.csv").write_text("".join(lines))
    return root


def test_fakeavceleb(tmp_path):
    rows = imported("fakeavceleb", fakeavceleb(tmp_path / "s"), tmp_path / "o", taxonomy="fairface4")
    found = {row["video_id"].rpartition("/")[2]: row for row in rows}
    assert {
        name: (row["label"], row["method"], row["family"], row["cell"]) for name, row in found.items()
    } == {
        "a.mp4": (0, "none", "none", "Black/Male"),
        "b.mp4": (1, "faceswap-wav2lip+wav2lip", "swap", "Black/Male"),
        "c.mp4": (1, "fsgan", "swap", "Asian/Female"),
        "d.mp4": (1, "rtvc", "synthesis", "Asian/Female"),
        "e.mp4": (0, "none", "none", "Indian/Female"),
        "f.mp4": (0, "none", "none", "White/Male"),
        "g.mp4": (1, "faceswap", "swap", None),
    }
    assert {row["attribute_source"] for row in rows} == {"annotation:meta_data.csv"}
    assert {row["media"] for row in rows} == {"video"}
    splits = {}
    for row in rows:
        assert splits.setdefault(row["identity_id"], row["split"]) == row["split"]
    reasons = skipped(tmp_path / "o")
    assert [why for name, why in reasons.items() if name.endswith("gone.mp4")] == ["is not there"]
    assert any("types are not known" in why for why in reasons.values())


def test_fakeavceleb_in_another_taxonomy(tmp_path):
    rows = imported("fakeavceleb", fakeavceleb(tmp_path / "s"), tmp_path / "o", taxonomy="fairface7")
    cells = Counter(row["cell"] for row in rows)
    assert cells["East Asian/Female"] == 2
    assert cells["Indian/Female"] == 1


# --- AV-Deepfake1M and LAV-DF ---


def test_av_deepfake1m(tmp_path):
    root = tmp_path / "s"
    entries = [
        {
            "file": "id1/v/1/real.mp4",
            "original": None,
            "split": "train",
            "modify_type": "real",
            "fake_segments": [],
        },
        {
            "file": "id1/v/1/fake_video_real_audio.mp4",
            "original": "id1/v/1/real.mp4",
            "modify_type": "visual_modified",
            "fake_segments": [[0.08, 0.1], [0.02, 0.04]],
        },
        {
            "file": "id2/v/1/real_video.mp4",
            "modify_type": "audio_modified",
            "visual_fake_segments": [],
            "audio_fake_segments": [[0.0, 0.05], [0.04, 0.08]],
        },
        {"file": "id3/v/1/x.mp4", "modify_type": "other"},
        {"file": "../x.mp4", "modify_type": "real"},
        5,
        {"file": "id4/v/1/x.mp4", "modify_type": "both_modified", "fake_segments": [[0.1, 0.05]]},
    ]
    for k, entry in enumerate(entries[:3]):
        put(root / "train" / entry["file"], k)
    (root / "train_metadata.json").write_text(json.dumps(entries))
    rows = {row["video_id"]: row for row in imported("avdeepfake1m", root, tmp_path / "o")}
    fake = rows["av-deepfake1m/train/id1/v/1/fake_video_real_audio.mp4"]
    assert (fake["label"], fake["method"], fake["family"], fake["split"]) == (
        1,
        "visual_modified",
        "reenact",
        "train",
    )
    assert fake["fake_segments"] == pytest.approx([0.02, 0.04, 0.08, 0.1])
    assert fake["pair_id"] == rows["av-deepfake1m/train/id1/v/1/real.mp4"]["pair_id"]
    other = rows["av-deepfake1m/train/id2/v/1/real_video.mp4"]
    assert (other["label"], other["method"]) == (1, "audio_modified")
    assert other["fake_segments"] == pytest.approx([0, 0.08])
    assert set(skipped(tmp_path / "o")) == {f"train_metadata.json entry {k}" for k in (3, 4, 5, 6)}


def test_lav_df(tmp_path):
    root = tmp_path / "s"

    def entry(file, **more):
        return {
            "file": file,
            "n_fakes": 0,
            "fake_periods": [],
            "duration": 0.16,
            "original": None,
            "modify_video": False,
            "modify_audio": False,
            "split": file.split("/")[0],
            **more,
        }

    entries = [
        entry("dev/1.mp4"),
        entry("dev/2.mp4", n_fakes=1, fake_periods=[[0.02, 0.06]], modify_video=True, original="dev/1.mp4"),
        entry("test/3.mp4", n_fakes=1, fake_periods=[[0.02, 0.06]], modify_video=True, modify_audio=True),
        entry("test/4.mp4", n_fakes=1),
    ]
    for k, name in enumerate(["dev/1.mp4", "dev/2.mp4", "test/3.mp4", "test/4.mp4", "train/left.mp4"]):
        put(root / name, k)
    (root / "metadata.json").write_text(json.dumps(entries))
    rows = {row["video_id"]: row for row in imported("lavdf", root, tmp_path / "o")}
    assert {name: (row["label"], row["method"], row["split"]) for name, row in rows.items()} == {
        "lavdf/dev/1.mp4": (0, "none", "val"),
        "lavdf/dev/2.mp4": (1, "video", "val"),
        "lavdf/test/3.mp4": (1, "video+audio", "test"),
    }
    assert rows["lavdf/dev/1.mp4"]["identity_id"] == rows["lavdf/dev/2.mp4"]["identity_id"]
    reasons = skipped(tmp_path / "o")
    assert reasons["train/left.mp4"] == "is not named by metadata.json"
    assert "contradicts" in reasons["metadata.json entry 3"]


# --- folders ---


def test_avlips_takes_sound_from_its_files(tmp_path):
    root = tmp_path / "s"
    for kind, key in (("0_real", 1), ("1_fake", 2)):
        put(root / kind / "7.mp4", key, sound=False)
        write_wav(root / "wav" / kind / "7.wav", sound_like([0.5] * 4, key))
    put(root / "1_fake" / "8.mp4", 3)
    put(root / "1_fake" / "silent.mp4", 3, sound=False)
    (root / "1_fake" / "notes.txt").write_text("x")
    rows = {row["video_id"]: row for row in imported("avlips", root, tmp_path / "o")}
    assert sorted(rows) == ["avlips/0_real/7.mp4", "avlips/1_fake/7.mp4", "avlips/1_fake/8.mp4"]
    assert rows["avlips/1_fake/7.mp4"]["audio_path"].endswith(".sound.wav")
    assert rows["avlips/1_fake/7.mp4"]["codec"] == "h264+pcm_s16le"
    assert rows["avlips/1_fake/8.mp4"]["audio_path"] is None
    assert rows["avlips/0_real/7.mp4"]["split"] == rows["avlips/1_fake/7.mp4"]["split"]
    assert skipped(tmp_path / "o")["1_fake/silent.mp4"] == "has no sound"


@pytest.mark.parametrize("name", ["{}/{}.mp4", "{}_{}.mp4"])
def test_grid_splits_by_speaker(tmp_path, name):
    for speaker in ("s1", "s2", "s3", "s4"):
        for k in range(2):
            put(tmp_path / "s" / name.format(speaker, f"x{k}"), k)
    rows = imported("grid", tmp_path / "s", tmp_path / "o", shares={"train": 0.5, "test": 0.5})
    assert Counter(row["split"] for row in rows) == {"train": 4, "test": 4}
    assert len({(row["identity_id"], row["split"]) for row in rows}) == 4
    assert {row["label"] for row in rows} == {0}
    only = imported(
        "grid", tmp_path / "s", tmp_path / "p", shares={"train": 0.5, "test": 0.5}, splits=["test"]
    )
    assert {row["image_id"] for row in only} == {row["image_id"] for row in rows if row["split"] == "test"}


# --- all of them ---


@pytest.mark.parametrize("adapter", CLIPS)
def test_an_empty_folder_says_what_is_missing(tmp_path, adapter):
    assert ADAPTERS.create(adapter).check(tmp_path)
    with pytest.raises(MissingError):
        import_images(adapter, tmp_path, tmp_path / "o")


@pytest.mark.parametrize("adapter", CLIPS)
def test_shares_that_are_none_are_refused(adapter):
    with pytest.raises(UsageError, match="sum to 1"):
        ADAPTERS.create(adapter, {"shares": {"train": 0.5}})


@pytest.mark.parametrize("bad", [5, [5], [[1]], [[2, 1]], [[-1, 2]], [["a", 1]]])
def test_segments_that_are_none(bad):
    with pytest.raises(BadValue):
        segments_of(bad, "segments")


def test_clips_that_are_links_come_as_the_files_that_they_lead_to(tmp_path):
    put(tmp_path / "disk/a.mp4")
    (tmp_path / "s/s1").mkdir(parents=True)
    (tmp_path / "s/s1/a.mp4").symlink_to(tmp_path / "disk/a.mp4")
    imported("grid", tmp_path / "s", tmp_path / "o")
    assert validate(tmp_path / "o/manifest.parquet", digests=True) == []
    assert not any(path.is_symlink() for path in (tmp_path / "o/clips").rglob("*"))


def test_a_file_that_is_damaged_is_a_row_with_its_reason(tmp_path):
    put(tmp_path / "s/s1/a.mp4")
    put(tmp_path / "s/s1/b.mp4", sound=False)
    (tmp_path / "s/s1/c.mp4").write_bytes(b"junk")
    rows = imported("grid", tmp_path / "s", tmp_path / "o")
    assert len(rows) == 1
    reasons = skipped(tmp_path / "o")
    assert reasons["s1/b.mp4"] == "has no sound"
    assert "not a readable video" in reasons["s1/c.mp4"]
