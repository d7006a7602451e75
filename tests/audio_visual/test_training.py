"""Trainings of seconds: what is learnt, exact resume, who is held out, what is refused."""

import numpy as np
import pytest
import torch
from sklearn.metrics import roc_auc_score

from detector.audio_visual import loop
from detector.audio_visual.feature_files import PUBLISHED, read_features, write_features
from detector.audio_visual.model import load_model
from detector.audio_visual.settings import AlignmentSettings
from detector.audio_visual.training import FeatureClip, parts_of, train_alignment
from manifests.atomic import digest_file
from manifests.errors import DataError, UsageError
from tests.audio_visual.av_clips import write_clip

SMALL = AlignmentSettings(
    encoder_steps=4, encoder_clips=2, steps=6, batch=80, hidden=16, longest=24, save_every=2, threads=1
)


@pytest.fixture(scope="module")
def people(tmp_path_factory):
    folder = tmp_path_factory.mktemp("features")
    return [write_clip(folder, key) for key in range(6)]


def weights(folder):
    model = load_model(folder)
    return {**model.alignment.state_dict(), **{f"e.{k}": v for k, v in model.encoder.state_dict().items()}}


class Killed(Exception):
    pass


@pytest.mark.parametrize("at", [3, 7])
def test_killed_and_called_again_it_ends_in_the_same_bytes(people, tmp_path, monkeypatch, at):
    """Killed in the encoder (step 3 of 4) and in the alignment (3 of 6)."""
    whole, _ = train_alignment(people, tmp_path / "whole", SMALL)
    steps = iter(range(1, 100))
    real = torch.optim.Adam.step

    def step(self, *args, **named):
        if next(steps) > at:
            raise Killed
        return real(self, *args, **named)

    with monkeypatch.context() as patch:
        patch.setattr(torch.optim.Adam, "step", step)
        with pytest.raises(Killed):
            train_alignment(people, tmp_path / "again", SMALL)
    assert (tmp_path / "again/encoder.state").is_file()
    again, _ = train_alignment(people, tmp_path / "again", SMALL)
    assert again.read_bytes() == whole.read_bytes()


def test_a_state_of_another_training_is_refused(people, tmp_path):
    train_alignment(people, tmp_path / "a", SMALL)
    with pytest.raises(UsageError, match="other settings or other features"):
        train_alignment(people, tmp_path / "a", SMALL.model_copy(update={"seed": 5}))
    with pytest.raises(UsageError, match="other settings or other features"):
        train_alignment(people[1:], tmp_path / "a", SMALL)


def test_a_frozen_encoder_stays_what_it_is(people, tmp_path):
    file, _ = train_alignment(people, tmp_path / "a", SMALL)
    encoder = load_model(file).encoder
    before = {name: value.clone() for name, value in encoder.state_dict().items()}
    train_alignment(people, tmp_path / "b", SMALL, encoder)
    after = load_model(tmp_path / "b").encoder.state_dict()
    assert all(torch.equal(before[name], after[name]) for name in before)
    assert not (tmp_path / "b/encoder.state").exists()


def test_foreign_and_shifted_sound_score_higher_than_sound_in_step(people, tmp_path):
    """Trained on real clips alone for some seconds: people never seen, in step against foreign and shifted
    sound.
    """
    settings = AlignmentSettings(
        encoder_steps=80, encoder_clips=3, steps=40, batch=80, hidden=32, longest=40, threads=1
    )
    train = [write_clip(tmp_path, f"t{key}") for key in range(10)]
    file, facts = train_alignment(train, tmp_path / "m", settings)
    assert facts["found_share"] > 0.3
    model = load_model(file)
    real = [write_clip(tmp_path, f"x{key}") for key in range(8)]
    for shift in (0, 8):
        clips = [*real, *(write_clip(tmp_path, f"x{key}", 1, shift=shift) for key in range(8))]
        scores = [model.score(*read_features(clip.path)).clip for clip in clips]
        labels = [clip.label for clip in clips]
        for scorer in ("avh", "avh-mean", "sync"):
            assert roc_auc_score(labels, [one[scorer] for one in scores]) > 0.9, scorer


def published(folder, key, label=0, split=None):
    rng = np.random.default_rng([7, key])
    base = rng.standard_normal((30, 12)).astype(np.float32)
    path = folder / f"{key}-{label}.npz"
    write_features(path, {"visual": base, "audio": base[::-1] if label else base})
    return FeatureClip(path.stem, path, digest_file(path), label, split, f"p{key}")


def test_published_features_need_no_encoder_and_the_twin_sees_labels(tmp_path):
    clips = [published(tmp_path, key, label) for key in range(6) for label in (0, 1)]
    settings = SMALL.model_copy(update={"lr": 1e-2, "steps": 30})
    file, facts = train_alignment(clips, tmp_path / "real", settings)
    assert load_model(file).encoder is None
    assert facts["train_clips"] == 5
    file, facts = train_alignment(
        clips, tmp_path / "both", settings.model_copy(update={"kind": "supervised"})
    )
    assert facts["train_clips"] == 10
    scores = [
        load_model(file).score(PUBLISHED, read_features(clip.path)[1]).clip["avh-mean"] for clip in clips
    ]
    assert roc_auc_score([clip.label for clip in clips], scores) > 0.9


def row(person, label=0, split=None):
    return FeatureClip(f"{person}{label}{split}", None, "d", label, split, person)


def test_who_is_learnt_from_and_who_is_held_out():
    people = [row(f"p{k}", label) for k in range(10) for label in (0, 1)]
    parts = parts_of(people, AlignmentSettings())
    assert len(parts.held_out) == 2
    assert {clip.person for clip in parts.held_out}.isdisjoint(clip.person for clip in parts.train)
    assert {clip.label for clip in (*parts.train, *parts.held_out)} == {0}
    both = parts_of(people, AlignmentSettings(kind="supervised"))
    assert {clip.person for clip in both.held_out}.isdisjoint(clip.person for clip in both.train)
    assert {clip.label for clip in both.train} == {0, 1}
    assert {clip.label for clip in both.held_out} == {0}
    splits = [row(f"p{k}", split=split) for k, split in enumerate(("train", "val", "test"))]
    parts = parts_of(splits, AlignmentSettings())
    assert [clip.split for clip in (*parts.train, *parts.held_out)] == ["train", "val"]


@pytest.mark.parametrize(
    ("clips", "kind", "words"),
    [
        ([row("a", 1)], "alignment", "clips to learn from"),
        ([row("a"), row("a")], "alignment", "hold out"),
        ([row("a"), row("b"), row("c")], "supervised", "one label alone"),
    ],
)
def test_sets_that_cannot_be_learnt_from_are_refused(clips, kind, words):
    with pytest.raises(DataError, match=words):
        parts_of(clips, AlignmentSettings(kind=kind))


def test_a_loss_that_is_not_finite_ends_the_training(tmp_path):
    network = torch.nn.Linear(1, 1)
    with pytest.raises(UsageError, match="the loss became nan at step 0"):
        loop.train_steps(
            network,
            lambda step: network.weight.sum() * float("nan"),
            steps=2,
            lr=0.1,
            state=tmp_path / "s",
            key="k",
            seed=0,
            every=1,
            what="x",
        )
