"""AUC by kind of fake against a loop, and the page of `av evaluate`: self-contained, escaped, and what it
shows.
"""

import re

import numpy as np
import pytest

from detector.metrics.rate_intervals import mid_p
from pipeline.commands.audio_visual.areas import method_areas
from pipeline.report.clip_page import ShownClip, clip_page
from pipeline.report.clip_pictures import mouth_strip, spectrogram


def scored(label, method, score, person):
    return {
        "label": label,
        "method": method,
        "identity_id": person,
        "video_id": None,
        "scores": {"avh-mean": score},
    }


def brute_area(real, fake):
    wins = [1.0 if f > r else 0.5 if f == r else 0.0 for f in fake for r in real]
    return sum(wins) / len(wins)


def test_each_kind_of_fake_is_compared_with_all_real_clips_as_by_a_loop():
    rng = np.random.default_rng(1)
    drawn = [(0, None, 0.0), (1, "foreign", 1.0), (1, "shifted", 0.3)]
    rows = [
        scored(label, method, round(float(rng.normal(shift)), 1), f"p{k}")
        for k in range(30)
        for label, method, shift in drawn
    ]
    found = method_areas(rows, "avh-mean", 0.5)
    real = [row["scores"]["avh-mean"] for row in rows if row["label"] == 0]
    for method in ("foreign", "shifted"):
        fake = [row["scores"]["avh-mean"] for row in rows if row["method"] == method]
        assert found[method]["AUC"] == pytest.approx(brute_area(real, fake))
        low, high = found[method]["interval"]
        assert low < found[method]["AUC"] < high
        assert found[method]["called_real"] == sum(score < 0.5 for score in fake) / 30
        assert found[method]["called_real_interval"] == pytest.approx(
            mid_p(sum(score < 0.5 for score in fake), 30)
        )
        assert (found[method]["real"], found[method]["fakes"], found[method]["clusters"]) == (30, 30, 30)
    assert method_areas(rows[:1], "avh-mean", 0.5) == {}
    assert method_areas(rows[1:2], "avh-mean", 0.5)["foreign"]["AUC"] is None


def ways(name="foreign"):
    cell = {"n_real": 2, "n_fake": 1, "AUC": 0.75, "FPR": 0.0, "TPR": 1.0}
    return {
        "as published": {
            "clips": 3,
            "left_out": ["c9: has <no> sound"],
            "scorers": {
                "avh-mean": {
                    "utility": {
                        "AUC": 0.75,
                        "FPR": 0.125,
                        "intervals": {"AUC": [0.5, 1.0], "FPR": [0.0, 0.375]},
                    },
                    "methods": {
                        name: {
                            "AUC": 0.75,
                            "interval": [0.5, 0.9],
                            "called_real": 0.25,
                            "called_real_interval": [0.0625, 0.625],
                        }
                    },
                    "groups": {"cell": {"White/Male": cell}},
                }
            },
        }
    }


def shown(clip_id="c1", own=True, limit=0.5):
    rng = np.random.default_rng(0)
    mouths = rng.integers(0, 256, (30, 32, 32), np.uint8) if own else None
    banks = rng.standard_normal((30, 104)).astype(np.float32) if own else None
    frames = rng.standard_normal(30).astype(np.float32)
    said = "in step: 0.01 of unrelated sounds would fit as well"
    return ShownClip(
        clip_id, 1, "foreign", "White/Male", "most wrong", 0.25, limit, mouths, banks, frames, said
    )


def test_the_page_shows_mouths_spectrogram_and_score_of_clips_and_loads_nothing():
    page = clip_page("set", ways(), [shown(), shown("c2", own=False, limit=None)], "avh-mean")
    assert page.count("data:image/webp;base64,") == 2
    assert page.count("score over time of c") == 2
    assert page.count("called fake from here") == 1
    assert "called real" in page
    assert "0.500\u20130.900" in page
    assert "0.062\u20130.625" in page  # fakes called real
    assert "0.625\u20131.000" in page  # real clips called real: one less the false-positive rate
    assert "by chance in step: 0.01 of" in page
    assert "White/Male" in page
    assert "has &lt;no&gt; sound" in page
    assert not re.search(r"(?:src|href)=\"(?!data:|#)", page)
    assert "<script" not in page


def test_names_from_files_cannot_become_markup():
    page = clip_page("<b>", ways("<script>x</script>"), [shown("<img src=x>")], "avh-mean")
    assert "<script" not in page
    assert "<img src=x" not in page
    assert "&lt;b&gt;" in page


def test_a_strip_goes_from_the_first_mouth_to_the_last_and_low_tones_are_below():
    mouths = np.repeat(np.arange(0, 250, 25, dtype=np.uint8), 32 * 32).reshape(10, 32, 32)
    strip = mouth_strip(mouths, 300, 60)
    assert strip.shape == (60, 300, 3)
    assert [int(strip[30, x, 0]) for x in range(30, 300, 60)] == [0, 50, 100, 175, 225]
    banks = np.full((8, 104), -1.0, np.float32)
    banks[:, ::26] = 3.0
    picture = spectrogram(banks, 90, 104)
    assert picture.shape == (104, 90, 3)
    assert picture[-1].min() > 200
    assert picture[0].max() < 100
