"""The test that each clip calibrates by itself: against loops, its level on sounds that have nothing to do
with the picture, and clips of which nothing can be told.
"""

import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from scipy import stats

from detector.audio_visual.alignment import Alignment
from detector.audio_visual.chance import (
    ALPHA,
    APART,
    EDGE,
    LEAST,
    best_lag,
    chance_score,
    lag_means,
    smoothed,
)
from detector.audio_visual.encoder import Encoder
from detector.audio_visual.feature_files import OWN
from detector.audio_visual.filterbanks import stacked_filterbanks
from detector.audio_visual.model import AudioVisualModel
from pipeline.commands.audio_visual.prediction import UNTOLD, in_step, words
from tests.audio_visual.av_clips import picture_arrays, speech


def slow(length, dim, seed):
    """Unit vectors that change as slowly as speech does."""
    drawn = np.random.default_rng(seed).standard_normal((length + 4, dim))
    smooth = np.stack([drawn[k : k + 5].mean(0) for k in range(length)])
    return F.normalize(torch.from_numpy(smooth), dim=1)


def brute_score(picture, sound):
    """As `chance_score`, by loops alone."""
    v, a = (one.tolist()[4:-5] for one in (picture, sound))
    n = len(v)
    mean = [
        sum(x * y for i in range(n) for x, y in zip(v[i], a[(i + lag) % n], strict=True)) / n
        for lag in range(n)
    ]
    weights = {-2: 1, -1: 2, 0: 3, 1: 2, 2: 1}
    fit = [sum(w * mean[(lag + d) % n] for d, w in weights.items()) / 9 for lag in range(n)]
    far = [fit[lag] for lag in range(n) if 5 <= lag <= n - 5]
    middle = sum(far) / len(far)
    spread = math.sqrt(sum((x - middle) ** 2 for x in far) / (len(far) - 1))
    draws = len(far) / 5
    p = stats.t.sf((fit[0] - middle) / (spread * math.sqrt(1 + 1 / draws)), draws - 1)
    best = max(range(-15, 16), key=lambda lag: (fit[lag % n], -abs(lag)))
    return p if abs(best) <= 2 else (1 + p) / 2


@pytest.mark.parametrize("length", [34, 50, 83])
@pytest.mark.parametrize("shift", [0, 2, 6, None])
def test_the_score_is_that_of_loops(length, shift):
    picture = slow(length, 6, length)
    sound = slow(length, 6, 1) if shift is None else torch.roll(picture, shift, 0)
    score = chance_score(picture, sound)
    assert score == pytest.approx(brute_score(picture, sound), abs=1e-9)
    if shift is not None:
        assert (score < ALPHA) == (shift <= 2)


def test_lags_go_round_and_are_weighted_as_by_loops():
    picture, sound = slow(21, 5, 1), slow(21, 5, 2)
    means = lag_means(picture, sound)
    for lag in range(21):
        wanted = sum(float(picture[i] @ sound[(i + lag) % 21]) for i in range(21)) / 21
        assert float(means[lag]) == pytest.approx(wanted, abs=1e-12)
        around = sum(
            w * float(means[(lag + d) % 21]) for d, w in zip(range(-2, 3), (1, 2, 3, 2, 1), strict=True)
        )
        assert float(smoothed(means)[lag]) == pytest.approx(around / 9, abs=1e-12)


def test_of_equal_lags_the_nearest_is_the_best_and_far_ones_do_not_count():
    fit = torch.zeros(60)
    assert best_lag(fit) == 0
    fit[20] = 9
    assert best_lag(fit) == 0
    fit[60 - 7] = 1
    assert best_lag(fit) == -7


def test_sounds_that_have_nothing_to_do_with_the_picture_pass_as_often_as_alpha_says():
    """400 clips of slow vectors: the level is held within what chance allows (p = .001 of a binomial)."""
    scores = [chance_score(slow(75, 8, 2 * k), slow(75, 8, 2 * k + 1)) for k in range(400)]
    passed = sum(score < ALPHA for score in scores)
    assert stats.binom.cdf(passed, 400, ALPHA) > 0.001
    assert stats.binom.sf(passed - 1, 400, ALPHA) > 0.001
    assert all(0 < score <= 1 for score in scores)


def test_nothing_is_told_of_short_clips_still_mouths_and_silence():
    assert chance_score(slow(LEAST - 1, 6, 1), slow(LEAST - 1, 6, 1)) == 1
    assert chance_score(slow(LEAST, 6, 1), slow(LEAST, 6, 1)) < ALPHA
    still = slow(1, 6, 3).expand(75, 6)
    assert chance_score(still, slow(75, 6, 4)) == chance_score(slow(75, 6, 4), still) == 1
    assert LEAST - 2 * EDGE - 2 * APART >= 3 * APART, "three draws of chance"


@pytest.fixture(scope="module")
def model():
    torch.manual_seed(0)
    return AudioVisualModel(Alignment(64, 64, 8).eval(), Encoder(64, "lips", True).eval())


def clip(level, sound):
    return {**picture_arrays(level), "banks": stacked_filterbanks(sound)[: len(level)]}


def test_a_still_mouth_and_a_silent_clip_tell_nothing_by_a_whole_encoder(model):
    """Where a clip begins and ends is in an encoder's features of both: no sign of being in step."""
    level, sound = speech(1, 75)
    for arrays in (clip(np.full(75, 0.4, np.float32), sound), clip(level, np.zeros_like(sound))):
        found = model.score(OWN, arrays).clip["chance"]
        assert found == 1
        assert in_step(found) is None
        assert words(found) == UNTOLD


@pytest.mark.parametrize("gain", [0.02, 0.3, 3.0])
def test_a_gain_changes_no_verdict(model, gain):
    level, sound = speech(2, 75)
    one, other = (
        model.score(OWN, clip(level, (g * sound).astype(np.float32))).clip["chance"] for g in (1, gain)
    )
    assert other == pytest.approx(one, abs=0.005)
    assert in_step(other) == in_step(one)


def test_verdicts_say_what_they_mean_and_how_sure_they_are():
    assert words(0.012).startswith("in step: 0.012 of unrelated sounds")
    assert words(1e-9).startswith("in step: 0.0001 ")
    assert words(0.2).startswith("not surely in step: 0.2 of")
    assert "at another lag" in words(0.7)
    assert [in_step(p) for p in (0.049, 0.05, 0.9, 1.0)] == [True, False, False, None]
