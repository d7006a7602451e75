"""`fairforge av embed`: a model in half precision with a name, found by that name, its figures in the
catalogue.
"""

from pathlib import Path

import pytest
import torch

from detector.audio_visual.alignment import Alignment
from detector.audio_visual.encoder import Encoder
from detector.audio_visual.feature_files import read_features
from detector.audio_visual.model import TALKING, AudioVisualModel, load_model, save_model
from manifests.errors import DataError, MissingError, UsageError
from manifests.text_files import read_toml
from manifests.weights import catalogue
from pipeline.commands.audio_visual import embedding
from pipeline.commands.audio_visual.embedding import embed_model
from pipeline.commands.audio_visual.evaluation import Request, evaluate_clips
from pipeline.commands.audio_visual.features import feature_file, own_features, read_table_of
from pipeline.commands.audio_visual.prediction import predict_clips
from pipeline.commands.audio_visual.sources import clips_of
from pipeline.stages.evaluate.measuring import Measure
from tests.audio_visual.av_clips import BarReader
from tests.audio_visual.test_av_commands import clip_set
from tests.clips.clip_files import make_clip


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """Clips, their features, a model of random weights, and its evaluation."""
    root = tmp_path_factory.mktemp("embedding")
    clip_set(root / "m", people=2)
    own_features(clips_of([root / "m"]), root / "f", reader=BarReader())
    torch.manual_seed(0)
    facts = {"thresholds": {"avh-mean": 0.25}}
    model = AudioVisualModel(Alignment(64, 64, 16).eval(), Encoder(64).eval(), facts)
    save_model(root / "d/model.safetensors", model)
    measure = Measure(replicates=0, min_n=1)
    evaluate_clips(Request(root / "d", root / "e", features=root / "f"), measure, quiet=True)
    return root


def embed(root, out, name="mine", **changes):
    asked = {"recipe": None, "features": root / "f", "evaluation": root / "e", "out": out, **changes}
    return embed_model(root / "d", name, "CC0", "bars", *asked.values())


def test_a_model_is_found_by_its_name_and_scores_as_before(place, tmp_path, monkeypatch):
    monkeypatch.setenv("FAIRFORGE_WEIGHTS", str(tmp_path))
    value, text = embed(place, None)
    assert "0.05" not in text.split("by")[1]
    entry = read_toml(tmp_path / "weights.toml")["mine"]
    assert entry["kind"] == "audio-visual"
    assert entry["sha256"] == value["sha256"]
    assert set(entry["measured"]["auc"]) == {"foreign"}
    assert (tmp_path / "mine.safetensors").stat().st_size < (
        place / "d/model.safetensors"
    ).stat().st_size * 0.6
    one, other = load_model(place / "d"), load_model("mine")
    assert other.thresholds() == {"avh-mean": 0.25, "chance": 0.05}
    assert other.facts["licence"] == "CC0"
    for row in read_table_of(place / "f").to_pylist():
        found = read_features(feature_file(place / "f", row), row["digest"])
        assert one.score(*found).clip["avh-mean"] == pytest.approx(
            other.score(*found).clip["avh-mean"], abs=0.02
        )
    rows = predict_clips([place / "m/clips/00.mp4"], "mine", mouths=BarReader())
    assert rows[0]["scores"] is not None
    assert rows[0]["fake"] is (rows[0]["scores"]["avh-mean"] >= 0.25)
    embedded = predict_clips([place / "m/clips/00.mp4"], Path(TALKING), mouths=BarReader())
    assert embedded[0]["scores"] is not None
    assert embedded[0]["fake"] is None, "its threshold is of synthetic clips, and the clip is too short"
    make_clip(tmp_path / "long.mp4", 3, 50)
    (told,) = predict_clips([tmp_path / "long.mp4"], Path(TALKING), mouths=BarReader())
    assert told["fake"] is (told["scores"]["chance"] >= 0.05) is not told["in_step"]
    (tmp_path / "mine.safetensors").write_bytes(b"other")
    with pytest.raises(DataError, match="the catalogue says"):
        load_model("mine")


def test_what_cannot_be_embedded_is_refused(place, tmp_path, monkeypatch):
    monkeypatch.setenv("FAIRFORGE_WEIGHTS", str(tmp_path / "w"))
    with pytest.raises(UsageError, match="is not a file's name"):
        embed(place, tmp_path, "a/b")
    with pytest.raises(UsageError, match="is known already"):
        embed(place, tmp_path, "photographs")
    with pytest.raises(MissingError, match="is not there"):
        embed(place, tmp_path, evaluation=tmp_path / "none")
    other = AudioVisualModel(Alignment(64, 64, 16).eval(), Encoder(64).eval(), {})
    save_model(tmp_path / "other/model.safetensors", other)
    with pytest.raises(UsageError, match="figures of another model"):
        embed_model(tmp_path / "other", "x", "CC0", "bars", None, place / "f", place / "e", tmp_path)
    for limit, value, error in (("LARGEST", 1000, UsageError), ("CHANGE", -1.0, DataError)):
        with monkeypatch.context() as patch:
            patch.setattr(embedding, limit, value)
            with pytest.raises(error, match="half precision"):
                embed(place, tmp_path)
    assert not (tmp_path / "mine.safetensors").exists()


def test_the_embedded_model_is_small_scores_clips_and_has_its_figures(place):
    weight = catalogue("audio-visual")[TALKING]
    assert weight.path.stat().st_size < 3_000_000
    assert weight.measured["auc"]["av-foreign"][0] >= 0.95
    assert weight.measured["auc"]["av-redrive"][0] >= 0.8
    model = load_model(TALKING)
    assert set(model.thresholds()) == {"avh", "avh-mean", "sync", "chance"}
    row = read_table_of(place / "f").to_pylist()[0]
    found = model.score(*read_features(feature_file(place / "f", row), row["digest"]))
    assert len(found.frames) == row["frames"]
