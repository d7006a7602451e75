"""`fairforge av` on clips that the tests make: features, training, prediction, evaluation with silence
planted and trimmed.
"""

import json

import numpy as np
import pyarrow.parquet as pq
import pytest

from detector.audio_visual.feature_files import write_features
from detector.audio_visual.settings import AlignmentSettings
from manifests.atomic import digest_file
from manifests.clips.silence import plant_silence
from manifests.errors import DataError, MissingError, UsageError
from manifests.images import decode
from manifests.records import ImageRecord
from manifests.store import table_of, write_manifest
from pipeline.commands.audio_visual.evaluation import TRIMMED, WHOLE, Request, evaluate_clips
from pipeline.commands.audio_visual.features import features_command, own_features
from pipeline.commands.audio_visual.prediction import predict_clips
from pipeline.commands.audio_visual.sources import clips_of, published_clips
from pipeline.commands.audio_visual.training import feature_clips, settings_of, train_command
from pipeline.stages.evaluate.measuring import Measure
from tests.audio_visual.av_clips import BarReader
from tests.clips.clip_files import envelope, make_clip, sound_like

SETTINGS = AlignmentSettings(
    encoder_steps=6, encoder_clips=2, steps=8, batch=60, hidden=16, longest=16, threads=1
)


def clip_set(folder, people=6, frames=12, silence=0.0):
    rows = []
    for k in range(people):
        for label in (0, 1):
            heard = sound_like(envelope(50 + k, frames), k) if label else sound_like(envelope(k, frames), k)
            heard = plant_silence(heard, silence) if label else heard
            name = f"{k}{label}"
            make_clip(folder / f"clips/{name}.mp4", k, frames, heard=heard)
            rows.append(
                ImageRecord(
                    image_id=name,
                    path=f"clips/{name}.mp4",
                    sha256=digest_file(folder / f"clips/{name}.mp4"),
                    width=32,
                    height=32,
                    label=label,
                    media="video",
                    frames=frames,
                    method="foreign" if label else "none",
                    family="reenact" if label else "none",
                    fps=25,
                    duration=frames / 25,
                    identity_id=f"p{k}",
                    video_id=name,
                    split=("train", "val", "test")[k % 3],
                    race=("White", "Black")[k % 2],
                    gender="Male",
                    cell=("White/Male", "Black/Male")[k % 2],
                )
            )
    write_manifest(table_of(rows, taxonomy="fairface4"), folder / "manifest.parquet")
    return folder


@pytest.fixture(scope="module")
def clips(tmp_path_factory):
    return clip_set(tmp_path_factory.mktemp("clips"), silence=0.03)


@pytest.fixture(scope="module")
def features(clips, tmp_path_factory):
    folder = tmp_path_factory.mktemp("features")
    own_features(clips_of([clips]), folder, reader=BarReader())
    return folder


@pytest.fixture(scope="module")
def model(features, tmp_path_factory):
    out = tmp_path_factory.mktemp("model")
    train_command(features, out, SETTINGS, encoder=None, fresh=False, quiet=True)
    return out


def test_features_have_a_row_per_clip_and_are_made_once(clips, features):
    rows = pq.read_table(features / "features.parquet").to_pylist()
    assert len(rows) == 12
    assert {row["status"] for row in rows} == {"ok"}
    assert all((row["silence"] > 0.029) == (row["label"] == 1) for row in rows)
    files = sorted((features / "clips").rglob("*.npz"))
    times = [file.stat().st_mtime_ns for file in files]
    own_features(clips_of([clips]), features, reader=BarReader())
    assert [file.stat().st_mtime_ns for file in files] == times
    with pytest.raises(UsageError, match="made otherwise"):
        own_features(clips_of([clips]), features, trim=True, reader=BarReader())
    files[0].write_bytes(b"damaged")
    own_features(clips_of([clips]), features, reader=BarReader())
    assert files[0].stat().st_size > 100


def test_trimming_drops_frames_of_both(clips, tmp_path):
    own_features(clips_of([clips], "test"), tmp_path, trim=True, reader=BarReader())
    rows = pq.read_table(tmp_path / "features.parquet").to_pylist()
    assert {row["frames"] for row in rows} == {12 - (int(0.0301 * 25) + 1)}


def test_a_clip_that_is_another_than_its_row_describes_is_a_row_with_that_reason(tmp_path):
    folder = clip_set(tmp_path / "m", people=1)
    make_clip(folder / "clips/00.mp4", 7, 12)
    (folder / "clips/01.mp4").rename(tmp_path / "01.mp4")
    (folder / "clips/01.mp4").symlink_to(tmp_path / "01.mp4")
    rows = {
        row["clip_id"]: row
        for row in own_features(clips_of([folder]), tmp_path / "f", reader=BarReader()).to_pylist()
    }
    assert {row["status"] for row in rows.values()} == {"failed"}
    assert "sha256 differs" in rows["00"]["reason"]
    assert "leads out" in rows["01"]["reason"]


class NoFace:
    def read(self, frames, name="clip"):
        raise DataError(name, "has a face in 0 of 16 frames", "leave it out")


def test_every_kind_of_bad_clip_is_a_row_with_its_reason(clips, tmp_path):
    folder = tmp_path / "c"
    make_clip(folder / "silent.mp4", sound=False)
    make_clip(folder / "short.mp4", frames=1)
    make_clip(folder / "good.mp4")
    make_clip(folder / "longer.mp4", frames=10, heard=sound_like([0.5] * 40))
    (folder / "empty.mp4").write_bytes(b"")
    (folder / "text.mp4").write_bytes(b"words")
    table = own_features(clips_of([folder, folder / "gone.mp4"]), tmp_path / "f", reader=BarReader())
    rows = {row["clip_id"].rsplit("/", 1)[-1]: row for row in table.to_pylist()}
    assert {name for name, row in rows.items() if row["status"] == "ok"} == {"good.mp4", "longer.mp4"}
    assert rows["silent.mp4"]["reason"] == "has no sound"
    assert rows["gone.mp4"]["reason"] == "is not there"
    assert "less than 0.08 s" in rows["short.mp4"]["reason"]
    assert "not a readable video" in rows["text.mp4"]["reason"]
    assert rows["empty.mp4"]["reason"]
    assert "longer than its picture" in rows["longer.mp4"]["notes"]
    assert rows["longer.mp4"]["frames"] == 10
    table = own_features(clips_of([folder / "good.mp4"]), tmp_path / "g", reader=NoFace())
    assert table["reason"].to_pylist() == ["has a face in 0 of 16 frames"]
    with pytest.raises(DataError, match="no usable clip"):
        feature_clips(tmp_path / "g")
    with pytest.raises(MissingError):
        feature_clips(tmp_path / "none")
    (tmp_path / "h").mkdir()
    with pytest.raises(MissingError, match="holds no clip"):
        clips_of([tmp_path / "h"])


def test_predict_tells_a_score_per_clip_and_frame_and_draws_it(clips, model, tmp_path):
    rows = predict_clips(
        [clips / "clips/20.mp4", tmp_path / "gone.mp4"], model, plots=tmp_path / "p", mouths=BarReader()
    )
    json.dumps(rows)
    good, gone = rows
    assert (good["status"], gone["status"], gone["reason"]) == ("ok", "failed", "is not there")
    assert set(good["scores"]) == {"avh", "avh-mean", "sync", "chance"}
    assert len(good["frames"]) == 12
    assert good["frames"][1]["second"] == 0.04
    assert good["fake"] in (True, False)
    assert (good["scores"]["chance"], good["in_step"]) == (1, None), "too short to tell"
    assert good["verdict"].startswith("cannot be told")
    assert decode(next((tmp_path / "p").iterdir()).read_bytes()).shape[1] == 960


def test_evaluate_shows_both_ways_side_by_side_with_gaps(clips, model, features, tmp_path):
    measure = Measure(replicates=20, min_n=1)
    asked = Request(model, tmp_path / "e", clips, split="test", trim=True)
    value, text = evaluate_clips(asked, measure, quiet=True, mouths=BarReader())
    assert list(value["ways"]) == [WHOLE, TRIMMED]
    assert "silence removed: 4 clips" in text
    for way in value["ways"].values():
        assert set(way["scorers"]) == {"avh", "avh-mean", "sync", "chance"}
        report = way["scorers"]["avh-mean"]
        assert report["utility"]["n"] == 4
        assert set(report["groups"]["cell"]) == {"White/Male", "Black/Male"}
    rows = pq.read_table(tmp_path / "e/scores.parquet").to_pylist()
    assert len(rows) == 8
    other, _ = evaluate_clips(
        Request(model, tmp_path / "f", features=features, trim=True), measure, quiet=True
    )
    assert other["ways"][TRIMMED]["clips"] == 12
    asked = Request(model, tmp_path / "h", features=features, split="test")
    one, _ = evaluate_clips(asked, measure, quiet=True)
    assert one["ways"][WHOLE]["scorers"] == value["ways"][WHOLE]["scorers"]
    for bad in (Request(model, tmp_path / "g"), Request(model, tmp_path / "g", clips, features)):
        with pytest.raises(UsageError, match="one of them"):
            evaluate_clips(bad, measure, quiet=True)


def test_features_by_several_processes_are_the_same_files(clips, features, tmp_path):
    table = own_features(clips_of([clips]), tmp_path, reader=BarReader(), workers=2)
    assert table.equals(pq.read_table(features / "features.parquet"))
    found = {file.relative_to(tmp_path): file.read_bytes() for file in tmp_path.rglob("*.npz")}
    assert found == {file.relative_to(features): file.read_bytes() for file in features.rglob("*.npz")}


class Counting(BarReader):
    calls = 0

    def read(self, frames, name="clip"):
        self.calls += 1
        return super().read(frames, name)


def test_the_mouths_of_one_picture_with_several_sounds_are_read_once(tmp_path):
    folder = tmp_path / "m"
    rows = []
    for name, picture, heard in (("a", 1, 1), ("b", 1, 2), ("c", 2, 2)):
        make_clip(folder / f"clips/{name}.mp4", picture, 12, heard=sound_like(envelope(heard, 12), heard))
        digest = digest_file(folder / f"clips/{name}.mp4")
        rows.append(
            ImageRecord(
                image_id=name,
                path=f"clips/{name}.mp4",
                sha256=digest,
                width=32,
                height=32,
                label=int(name != "a"),
                media="video",
                frames=12,
                fps=25,
                duration=0.48,
                method="none" if name == "a" else "foreign",
                family="none" if name == "a" else "reenact",
                pair_id="p",
                split="test",
            )
        )
    write_manifest(table_of(rows, taxonomy="fairface4"), folder / "manifest.parquet")
    reader = Counting()
    table = own_features(clips_of([folder]), tmp_path / "f", reader=reader)
    assert reader.calls == 2
    arrays = {row["clip_id"]: np.load(tmp_path / "f" / row["file"]) for row in table.to_pylist()}
    assert np.array_equal(arrays["a"]["mouths"], arrays["b"]["mouths"])
    assert not np.array_equal(arrays["a"]["banks"], arrays["b"]["banks"])
    assert not np.array_equal(arrays["a"]["mouths"], arrays["c"]["mouths"])


def test_published_features_by_their_list(tmp_path):
    rng = np.random.default_rng(0)
    for name in ("a", "b", "c"):
        arrays = {key: rng.standard_normal((9, 8)).astype(np.float32) for key in ("visual", "audio")}
        write_features(tmp_path / f"npz/x/{name}.npz", arrays)
    np.savez(tmp_path / "npz/x/d.npz", visual=np.array([None]), audio=np.array([None]))
    rows = ("x/a.mp4,0,9", "x/b.mp4,0,9", "x/c.mp4,1,9", "x/d.mp4,0,9", "../e.mp4,0,9", "x/f.mp4,2,9")
    (tmp_path / "train.csv").write_text("path,label,num_frames\n" + "\n".join(rows))
    value, _, any_ok = features_command(
        [tmp_path / "train.csv"],
        tmp_path / "f",
        published=tmp_path / "npz",
        trim=False,
        device="cpu",
        workers=1,
        quiet=True,
    )
    assert (value["clips"], value["failed"], any_ok) == (6, 3, True)
    reasons = {one["clip"]: one["reason"] for one in value["reasons"]}
    assert "Python objects" in reasons["x/d.mp4"]
    assert len(published_clips(tmp_path / "train.csv", tmp_path / "npz")) == 6
    clips = feature_clips(tmp_path / "f")
    assert [(clip.clip_id, clip.label) for clip in clips] == [("x/a.mp4", 0), ("x/b.mp4", 0), ("x/c.mp4", 1)]
    made, text = train_command(
        tmp_path / "f", tmp_path / "m", SETTINGS, encoder=None, fresh=False, quiet=True
    )
    assert made["train_clips"] == 1
    assert "held out" in text
    with pytest.raises(UsageError, match="has no encoder"):
        train_command(
            tmp_path / "f", tmp_path / "n", SETTINGS, encoder=tmp_path / "m", fresh=False, quiet=True
        )
    with pytest.raises(UsageError, match="published features"):
        predict_clips([tmp_path], tmp_path / "m", mouths=BarReader())


def test_settings_by_texts_and_flags():
    assert settings_of(["lr=0.5", "hidden=8"], steps=3, seed=None) == AlignmentSettings(
        lr=0.5, hidden=8, steps=3
    )
    with pytest.raises(UsageError, match="lrr"):
        settings_of(["lrr=0.5"])


def test_fresh_begins_again(features, tmp_path):
    first, _ = train_command(features, tmp_path, SETTINGS, encoder=None, fresh=False, quiet=True)
    other = SETTINGS.model_copy(update={"seed": 3})
    with pytest.raises(UsageError) as caught:
        train_command(features, tmp_path, other, encoder=None, fresh=False, quiet=True)
    assert "--fresh" in caught.value.fix
    again, _ = train_command(features, tmp_path, other, encoder=None, fresh=True, quiet=True)
    assert again["key"] != first["key"]
