"""What the report claims, and the plots per cell, against the figures they come from."""

import json
import re

import numpy as np
import pytest
from scipy.stats import norm
from sklearn.metrics import roc_curve

from manifests.atomic import write_json
from pipeline.engine.config import Config
from pipeline.engine.run_directory import RunDirectory
from pipeline.report import render
from pipeline.report.brief_section import gaps_with_p, holm
from pipeline.report.cell_plots import RATES, det_points, reliability
from pipeline.report.error_sheets import worst_errors
from pipeline.report.run_files import read_run
from pipeline.report.scored import Scored, curve_of, scored
from pipeline.report.threshold_section import gap_curves, thresholds
from tests.pipeline.report_page import Page
from tests.pipeline.report_run import make_run

CONFIG = Config.model_validate(
    {
        "dataset": {"image_size": 32, "only": ["White/Male", "Black/Female"]},
        "report": {"columns": 1, "errors": 2},
    }
)


@pytest.fixture
def run(tmp_path) -> RunDirectory:
    return make_run(tmp_path / "run", CONFIG, splits={"train": 1, "val": 1, "test": 6})


def edited(run, change):
    path = run.root / "evaluate/results.json"
    value = json.loads(path.read_text())
    change(value)
    write_json(path, value)
    return re.sub(r"\s+", " ", Page(render(run)).text["brief"])


def test_holm_rejects_what_it_rejects_by_hand():
    assert holm([0.001, 0.04, 0.03]) == [True, False, False]
    assert holm([0.01, 0.02, 0.04]) == [True, True, True]
    assert holm([0.03, 0.03]) == [False, False], "each is below .05, together they are not"
    assert holm([]) == []


def test_an_auc_is_proved_where_its_interval_is_above_chance_alone(run):
    def change(value):
        for name, between in (("test", [0.6, 0.9]), ("cross-synthetic", [0.49, 0.9])):
            value["datasets"][name]["utility"]["intervals"]["AUC"] = between

    text = edited(run, change)
    proved, _, open_ = text.partition("What is not proved")
    assert "On test the detector ranks fakes above real images" in proved
    assert "On cross-synthetic the" not in proved
    assert "That it tells fakes from real images on cross-synthetic at all" in open_


def test_detectors_beside_the_trained_one_are_said_by_name_alone(tmp_path, run):
    assert "share of its verdict" not in edited(run, lambda value: None)
    config = CONFIG.with_values(train={"beside": ("photographs", "elsewhere/mine.safetensors")})
    text = edited(
        make_run(tmp_path / "other", config, splits={"train": 1, "val": 1, "test": 6}), lambda value: None
    )
    assert "share of its verdict: photographs and mine.safetensors, trained before." in text


def test_a_gap_is_proved_only_after_the_correction_over_all_gaps(run):
    def change(p):
        def inner(value):
            for entry in value["datasets"].values():
                for gaps in entry["gaps"].values():
                    for null in gaps["null"].values():
                        null["p"] = 0.5
            value["datasets"]["test"]["gaps"]["cell"]["null"]["F_FPR"]["p"] = p

        return inner

    text = edited(run, change(0.02))
    assert "Groups are treated differently" not in text
    assert "smallest p is F_FPR between cells (race x gender) on test" in text
    assert "gaps of FPR between cells smaller than" in text
    text = edited(run, change(0.0001))
    assert "Groups are treated differently: F_FPR between cells (race x gender) on test is" in text
    files = read_run(run)
    assert len(gaps_with_p(files.results, files.datasets)) == 4 * 3 * 4


def test_gaps_without_a_null_are_said_to_be_unknown(run):
    def change(value):
        for entry in value["datasets"].values():
            for gaps in entry["gaps"].values():
                gaps.pop("null")

    assert "Anything about gaps: they were not compared with chance" in edited(run, change)


def rows_of(label, score, cells=None, clusters=None):
    n = len(label)
    return Scored(
        "d",
        np.array(label),
        np.array(score, float),
        [str(k) for k in range(n)],
        ["m"] * n,
        cells or ["c"] * n,
        np.arange(n) if clusters is None else np.array(clusters),
    )


def test_curves_of_a_cell_are_those_of_scikit_learn(run):
    rows = scored(read_run(run), "test")
    label, score = rows.of_cell("Black/Female")
    assert 0 < len(label) < len(rows.label)
    fpr, tpr, _ = roc_curve(label, score, drop_intermediate=False)
    points = curve_of(label, score)
    assert set(points) <= set(zip(fpr.tolist(), tpr.tolist(), strict=True))
    for (fpr_, tpr_), (x, y) in zip(points, det_points(points), strict=True):
        assert norm.cdf(x) == pytest.approx(np.clip(fpr_, RATES[0], RATES[-1]))
        assert norm.cdf(y) == pytest.approx(np.clip(1 - tpr_, RATES[0], RATES[-1]))
    assert curve_of(np.ones(3, int), np.zeros(3)) == []


def test_long_curves_are_drawn_with_fewer_points_between_the_same_ends():
    rng = np.random.default_rng(0)
    label, score = rng.integers(0, 2, 4000), rng.random(4000)
    whole, few = curve_of(label, score), curve_of(label, score, 100)
    assert len(whole) > 1000
    assert len(few) == 100
    assert (few[0], few[-1]) == (whole[0], whole[-1])
    assert set(few) <= set(whole)


def test_calibrated_scores_lie_on_the_diagonal_whatever_the_share_of_fakes():
    rng = np.random.default_rng(1)
    score = rng.random(60_000)
    label = (rng.random(60_000) < score).astype(int)
    keep = (label == 0) | (
        rng.random(60_000) < 0.2
    )  # a fifth of the fakes: real and fake weigh alike all the same
    found = reliability(label[keep], score[keep])
    assert len(found) == 5
    for mean, share, low, high in found:
        assert share == pytest.approx(mean, abs=0.02)
        assert low < share < high
    assert all(share < mean for mean, share, _, _ in reliability(label, np.sqrt(score))), "too sure of fakes"


def test_gaps_over_thresholds_are_those_counted_by_hand():
    rng = np.random.default_rng(2)
    cells = np.repeat(["a", "b", "c"], 40).tolist()
    label, score = np.tile([0, 1], 60), rng.random(120)
    at = thresholds()
    found = gap_curves(rows_of(label, score, cells, np.arange(120) // 2), at, seed=1, min_n=5, deals=50)
    assert np.allclose(at, 1 - at[::-1])
    for rate, one in (("FPR", 0), ("TPR", 1)):
        for k in (10, 30, 50):
            shares = [
                np.mean(
                    [
                        s >= at[k]
                        for s, y, c in zip(score, label, cells, strict=True)
                        if c == name and y == one
                    ]
                )
                for name in "abc"
            ]
            assert found[rate].gap[k] == pytest.approx(max(shares) - min(shares))
            assert found[rate].rate[k] == pytest.approx(np.mean(score[label == one] >= at[k]))


def test_a_planted_gap_is_above_chance_and_no_gap_is_not():
    rng = np.random.default_rng(3)
    cells, label = np.repeat(["a", "b"], 200).tolist(), np.zeros(400, int)
    score = np.clip(rng.normal(0.4, 0.2, 400), 0.01, 0.99)
    middle = int(np.argmin(np.abs(thresholds() - 0.5)))
    even = gap_curves(rows_of(label, score, cells), thresholds(), seed=1, min_n=5)["FPR"]
    assert even.gap[middle] < even.by_chance[middle]
    score[200:] = np.clip(score[200:] + 0.2, 0, 0.99)
    uneven = gap_curves(rows_of(label, score, cells), thresholds(), seed=1, min_n=5)["FPR"]
    assert uneven.gap[middle] > 2 * uneven.by_chance[middle]
    small = gap_curves(rows_of(label, score, cells), thresholds(), seed=1, min_n=300)["FPR"]
    assert np.isnan(small.gap).all(), "cells of fewer identities than min_n take no part"


def test_the_worst_errors_are_the_worst(run):
    files = read_run(run)
    rows = {
        row["image_id"]: row for row in files.scores.to_pylist() if row["dataset"] in ("test", "test-heldout")
    }.values()
    page = Page(render(run))
    for cell, (alarms, misses) in worst_errors(files, "test", 0.5).items():
        real = sorted(
            {
                (-r["score"], r["image_id"])
                for r in rows
                if r["cell"] == cell and not r["label"] and r["score"] >= 0.5
            }
        )
        fake = sorted(
            {
                (r["score"], r["image_id"])
                for r in rows
                if r["cell"] == cell and r["label"] and r["score"] < 0.5
            }
        )
        assert [one.image_id for one in alarms] == [name for _, name in real]
        assert [one.image_id for one in misses] == [name for _, name in fake]
        alts = [img["alt"] for img in page.all("img") if f"of {cell}, score" in img["alt"]]
        shown = [f"score {one.score:.3f}" for one in (*alarms[:2], *misses[:2])]
        assert [alt for alt in alts if any(f"{name};" in f"{alt};" for name in shown)] != []
        assert sum(alt.startswith("fake by") and "it was made of" in alt for alt in alts) >= min(
            len(misses), 2
        )


def test_error_sheets_can_be_left_out(run):
    text = render(RunDirectory(run.root, CONFIG.with_values(report={"errors": 0})))
    assert "report.errors is 0" in Page(text).text["errors"]
    assert not [img for img in Page(text).all("img") if "score" in img["alt"]]
