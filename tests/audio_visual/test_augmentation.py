"""Clips seen anew in training: time stays, what is drawn is the seed's, and encoders of fewer streams see
less.
"""

import numpy as np
import pytest
import torch

from detector.audio_visual.alignment import Alignment
from detector.audio_visual.augmentation import LIP_MIRROR, LIPS, augmented
from detector.audio_visual.encoder import Encoder
from detector.audio_visual.model import AudioVisualModel, load_model, save_model
from detector.audio_visual.settings import AlignmentSettings
from detector.audio_visual.training import train_alignment
from manifests.errors import DataError
from pipeline.commands.audio_visual import mouths as reader
from tests.audio_visual.av_clips import write_clip


def arrays(length=12):
    rng = np.random.default_rng(3)
    banks = rng.standard_normal((length, 104)).astype(np.float32)
    banks = (banks - banks.mean(1, keepdims=True)) / banks.std(1, keepdims=True)
    mouths = np.zeros((length, 32, 32), np.uint8)
    for k in range(length):
        mouths[k, 16 - k : 17 + k, 8:24] = 200
    lips = rng.uniform(0.3, 0.7, (length, 40, 2)).astype(np.float32)
    return torch.from_numpy(mouths), torch.from_numpy(lips), torch.from_numpy(banks)


def test_lip_points_of_features_are_those_of_the_reader_and_mirror_to_and_fro():
    assert reader.LIPS == LIPS
    assert sorted(LIP_MIRROR) == list(range(40))
    assert [LIP_MIRROR[k] for k in LIP_MIRROR] == list(range(40))
    assert sum(k != at for at, k in enumerate(LIP_MIRROR)) == 36


@pytest.mark.parametrize("strength", [0.0, 0.5, 1.0])
def test_time_and_openings_stay_and_the_seed_says_what_is_drawn(strength):
    given = arrays()
    for seed in range(6):
        one, again = (augmented(*given, strength, np.random.default_rng(seed)) for _ in range(2))
        assert all(torch.equal(a, b) for a, b in zip(one, again, strict=True))
        mouths, lips, banks = one
        assert (mouths.shape, lips.shape, banks.shape) == ((12, 32, 32), (12, 40, 2), (12, 104))
        assert float(mouths.min()) >= 0
        assert float(mouths.max()) <= 255
        assert banks.mean(1).tolist() == pytest.approx([0] * 12, abs=1e-4)
        bright = (mouths > mouths.max() / 2).sum((1, 2))
        assert bool((bright[1:] >= bright[:-1]).all())
        near = torch.cdist(banks, given[2]).argmin(1)
        assert near.tolist() == list(range(12))
    assert torch.equal(given[0], arrays()[0])


def test_without_strength_clips_are_mirrored_or_as_they_are():
    given, seen = arrays(), set()
    for seed in range(12):
        mouths, lips, banks = augmented(*given, 0.0, np.random.default_rng(seed))
        mirrored = not torch.equal(lips, given[1])
        seen.add(mirrored)
        assert torch.equal(mouths, given[0].float().flip(2) if mirrored else given[0].float())
        assert torch.equal(banks, given[2])
        if mirrored:
            again = lips[:, LIP_MIRROR] * torch.tensor([-1.0, 1.0])
            assert torch.equal(again, given[1])
    assert seen == {True, False}


@pytest.mark.parametrize("streams", ["both", "crops", "lips"])
def test_an_encoder_sees_its_streams_alone_and_comes_back(tmp_path, streams):
    torch.manual_seed(0)
    encoder = Encoder(96, streams).eval()
    mouths, lips, banks = arrays()
    base = encoder(mouths, lips, banks)[0]
    other_mouths = encoder(255 - mouths, lips, banks)[0]
    other_lips = encoder(mouths, lips.flip(0), banks)[0]
    assert torch.equal(base, other_mouths) == (streams == "lips")
    assert torch.equal(base, other_lips) == (streams == "crops")
    assert base.shape == (12, 96)
    save_model(tmp_path / "model.safetensors", AudioVisualModel(Alignment(96, 96, 16).eval(), encoder))
    back = load_model(tmp_path).encoder
    assert back is not None
    assert torch.equal(back(mouths, lips, banks)[0], base)


def test_motion_alone_is_the_same_for_every_still_mouth():
    """Two people whose mouths differ by what never moves."""
    torch.manual_seed(0)
    mouths, lips, banks = arrays()
    mouths = mouths // 4
    other = mouths + torch.randint(0, 100, (32, 32), dtype=torch.uint8)
    shape = torch.rand(40, 2)
    for motion in (True, False):
        encoder = Encoder(96, "both", motion).eval()
        one, two = (encoder(m, p, banks)[0] for m, p in ((mouths, lips), (other, lips + shape)))
        assert torch.allclose(one, two, atol=1e-4) == motion


def test_streams_that_are_none_are_refused(tmp_path):
    with pytest.raises(ValueError, match="none of both, crops, lips"):
        Encoder(96, "noses")
    encoder = Encoder(96)
    encoder.streams = "noses"
    save_model(tmp_path / "model.safetensors", AudioVisualModel(Alignment(96, 96, 16).eval(), encoder))
    with pytest.raises(DataError, match="noses"):
        load_model(tmp_path)


def test_a_training_with_augmentation_and_lips_alone_is_its_seeds(tmp_path):
    people = [write_clip(tmp_path, key) for key in range(4)]
    settings = AlignmentSettings(
        encoder_steps=3,
        encoder_clips=2,
        encoder_width=64,
        streams="lips",
        augment=0.5,
        steps=3,
        batch=40,
        hidden=16,
        longest=24,
        threads=1,
    )
    first, facts = train_alignment(people, tmp_path / "a", settings)
    again, _ = train_alignment(people, tmp_path / "b", settings)
    assert first.read_bytes() == again.read_bytes()
    assert load_model(first).encoder.config == {"width": 64, "streams": "lips", "motion": False}
    assert len(facts["encoder_losses"]) == 3
    other, _ = train_alignment(people, tmp_path / "c", settings.model_copy(update={"augment": 0.0}))
    assert other.read_bytes() != first.read_bytes()
