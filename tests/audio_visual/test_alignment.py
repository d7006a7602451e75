"""The formulas of AVH-Align, InfoNCE and SpeechForensics against loops, and filterbanks against their
definition.
"""

import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from detector.audio_visual.alignment import (
    Alignment,
    alignment_loss,
    clip_score,
    frame_scores,
    mean_score,
    supervised_loss,
    sync_score,
)
from detector.audio_visual.encoder import Encoder, contrastive_loss, found_share, prepared
from detector.audio_visual.filterbanks import (
    BANKS,
    DIM,
    FFT,
    STEP,
    WINDOW,
    log_filterbanks,
    stacked_filterbanks,
)
from detector.audio_visual.windows import RADIUS, candidates, own_place


def units(length, dim, seed):
    generator = torch.Generator().manual_seed(seed)
    return F.normalize(torch.randn(length, dim, generator=generator), dim=1)


@pytest.fixture(scope="module")
def phi():
    torch.manual_seed(1)
    return Alignment(6, 5, 8).eval()


@pytest.mark.parametrize("length", [1, 2, 15, 16, 17, 40])
def test_candidates_are_the_frames_within_fifteen_that_the_clip_has(length):
    at, inside = candidates(length)
    assert at.shape == inside.shape == (length, 2 * RADIUS + 1)
    for i in range(length):
        assert at[i][inside[i]].tolist() == [j for j in range(i - 15, i + 16) if 0 <= j < length]
        assert at[i, RADIUS] == i


def brute_loss(phi, picture, sound):
    out = []
    for i in range(len(picture)):
        scores = [float(phi(picture[i], sound[j])) for j in range(max(0, i - 15), min(len(sound), i + 16))]
        own = float(phi(picture[i], sound[i]))
        out.append(math.log(sum(math.exp(s - own) for s in scores)))
    return out


@pytest.mark.parametrize("length", [1, 9, 37])
@torch.no_grad()
def test_the_alignment_loss_is_that_of_a_loop(phi, length):
    picture, sound = units(length, 6, 2), units(length, 5, 3)
    assert alignment_loss(phi, picture, sound).tolist() == pytest.approx(
        brute_loss(phi, picture, sound), abs=1e-5
    )


@torch.no_grad()
def test_a_frame_alone_has_nothing_to_learn_from(phi):
    """Published code pads with zero vectors, which would be 30 wrong candidates here."""
    assert float(alignment_loss(phi, units(1, 6, 2), units(1, 5, 3))) == pytest.approx(0, abs=1e-6)


@torch.no_grad()
def test_scores_are_those_of_loops(phi):
    picture, sound = units(20, 6, 4), units(20, 5, 5)
    frames = frame_scores(phi, picture, sound)
    values = [-float(phi(picture[i], sound[i])) for i in range(20)]
    assert frames.tolist() == pytest.approx(values, abs=1e-6)
    assert float(clip_score(frames)) == pytest.approx(math.log(sum(map(math.exp, values))), abs=1e-5)
    assert float(mean_score(frames)) == pytest.approx(math.log(sum(map(math.exp, values)) / 20), abs=1e-5)
    assert float(mean_score(frames.repeat(3))) == pytest.approx(float(mean_score(frames)), abs=1e-5)
    assert float(clip_score(frames.repeat(3)) - clip_score(frames)) == pytest.approx(math.log(3), abs=1e-5)
    for label in (0, 1):
        probability = 1 / (1 + math.exp(-float(mean_score(frames))))
        wanted = -math.log(probability if label else 1 - probability)
        assert float(supervised_loss(phi, picture, sound, label)) == pytest.approx(wanted, abs=1e-5)


@pytest.mark.parametrize("shift", [0, 3, -7, 15])
def test_the_best_shift_is_found_as_by_a_loop(shift):
    picture = units(40, 16, 6)
    sound = torch.roll(picture, shift, 0)
    best = -2.0
    for s in range(-15, 16):
        pairs = [float(picture[i] @ sound[i + s]) for i in range(40) if 0 <= i + s < 40]
        if 2 * len(pairs) >= 40:
            best = max(best, sum(pairs) / len(pairs))
    assert float(sync_score(picture, sound)) == pytest.approx(-best, abs=1e-5)
    assert best == pytest.approx(1, abs=1e-5)


def test_infonce_is_that_of_a_loop():
    one, other, total = units(22, 9, 7), units(22, 9, 8), 0.0
    for left, right in ((one, other), (other, one)):
        for i in range(22):
            near = [float(left[i] @ right[j]) / 0.07 for j in range(max(0, i - 15), min(22, i + 16))]
            total += math.log(sum(math.exp(v) for v in near)) - float(left[i] @ right[i]) / 0.07
    assert float(contrastive_loss(one, other)) == pytest.approx(total / 44, abs=1e-4)
    assert found_share(one, one) == 1


def test_the_own_place_among_candidates_of_the_clip_alone():
    """Of two frames each has two candidates; column 0 would be a frame before the clip."""
    scores = torch.zeros(2, 31)
    scores[:, 0] = 9
    scores[0, 15], scores[1, 14] = 1, 1
    _, inside = candidates(2)
    assert own_place(scores, inside).tolist() == [True, False]


def test_the_encoder_gives_unit_vectors_of_the_shorter_length():
    torch.manual_seed(0)
    encoder = Encoder()
    mouths = torch.randint(0, 256, (7, 32, 32), dtype=torch.uint8)
    picture, sound = encoder(mouths, torch.randn(7, 40, 2), torch.randn(6, DIM))
    assert picture.shape == sound.shape == (6, 128)
    assert picture.norm(dim=1).tolist() == pytest.approx([1] * 6, abs=1e-5)
    x, points = prepared(mouths, torch.randn(7, 40, 2) * 3 + 5)
    assert float(x.mean()) == pytest.approx(0, abs=1e-4)
    assert float(points.std()) == pytest.approx(1, abs=1e-2)
    assert sum(p.numel() for p in encoder.parameters()) < 500_000


# --- filterbanks ---


def brute_banks(sound):
    wave = [float(v) * 32768 for v in sound]
    wave = [wave[0], *(wave[k] - 0.97 * wave[k - 1] for k in range(1, len(wave)))]
    rows = 1 if len(wave) <= WINDOW else 1 + math.ceil((len(wave) - WINDOW) / STEP)
    mel = [700 * (10 ** (m / 2595) - 1) for m in np.linspace(0, 2595 * math.log10(1 + 8000 / 700), BANKS + 2)]
    bins = [math.floor((FFT + 1) * f / 16000) for f in mel]
    out = []
    for r in range(rows):
        frame = (wave[r * STEP : r * STEP + WINDOW] + [0.0] * WINDOW)[:WINDOW]
        power = np.abs(np.fft.fft(frame, FFT)[: FFT // 2 + 1]) ** 2 / FFT
        row = []
        for k in range(BANKS):
            a, b, c = bins[k : k + 3]
            total = sum(power[i] * (i - a) / (b - a) for i in range(a, b)) + sum(
                power[i] * (c - i) / (c - b) for i in range(b, c)
            )
            row.append(math.log(total if total else np.finfo(float).eps))
        out.append(row)
    return np.array(out)


@pytest.mark.parametrize("length", [300, 400, 401, 1700])
def test_filterbanks_are_those_of_a_loop(length):
    sound = (np.random.default_rng(length).standard_normal(length) * 0.1).astype(np.float32)
    assert log_filterbanks(sound) == pytest.approx(brute_banks(sound), abs=1e-4)


def test_frames_of_sound_are_as_many_as_those_of_the_picture_and_loudness_is_gone():
    sound = (np.random.default_rng(0).standard_normal(48_000) * 0.1).astype(np.float32)
    rows = stacked_filterbanks(sound)
    assert rows.shape == (75, DIM)
    assert rows.mean(1) == pytest.approx(np.zeros(75), abs=1e-5)
    assert stacked_filterbanks(sound * 0.25)[:-1] == pytest.approx(
        rows[:-1], abs=2e-3
    )  # the last is padded, as published
    assert np.abs(stacked_filterbanks(np.zeros(6400, np.float32))[:-1]).max() < 1e-3
