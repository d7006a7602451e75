"""Ablations: arms that differ in their cells alone, effects and intervals by hand, one real shard, and the
whole stage.
"""

import json
import math
import os
import shutil
from collections import Counter

import numpy as np
import pytest
from scipy import stats

from manifests import read_manifest, validate
from manifests.errors import GateError, UsageError
from pipeline.engine.config import Config
from pipeline.engine.config_ablation import AblationSection
from pipeline.engine.run_directory import RunDirectory
from pipeline.engine.runner import select
from pipeline.engine.stages import all_stages, stages_of
from pipeline.stages.ablation.arms import chosen, counts_of, write_arm
from pipeline.stages.ablation.figures import (
    FIGURES,
    effects,
    groups_over_seeds,
    measure,
    over_seeds,
    t_interval,
)
from pipeline.stages.evaluate.measuring import scores_of
from pipeline.stages.evaluate.stage import parts_of
from tests.manifests.manifest_rows import CELLS, drawn_set

STAGES = [stage for stage in all_stages() if not stage.optional]
OPTIONAL = [stage for stage in all_stages() if stage.optional]

SHARES = AblationSection(shares={CELLS[0]: 0.5}).shares_of(CELLS)


@pytest.fixture(scope="module")
def dataset(tmp_path_factory):
    folder = tmp_path_factory.mktemp("set")
    drawn_set(
        folder, per_cell=8, size=24, methods={"none": "none", "swap-delaunay": "swap", "blend-self": "blend"}
    )
    return folder


def test_shares_fill_up_and_wrong_ones_are_named():
    assert sum(SHARES.values()) == pytest.approx(1)
    assert [SHARES[cell] for cell in CELLS[1:]] == pytest.approx([0.5 / (len(CELLS) - 1)] * (len(CELLS) - 1))
    for shares in ({"Nobody": 0.1}, {CELLS[0]: 1.0}, dict.fromkeys(CELLS, 0.1)):
        with pytest.raises(UsageError, match=r"ablation\.shares"):
            AblationSection(shares=shares).shares_of(CELLS)


def test_arms_have_equally_many_identities_and_their_shares(dataset):
    rows = read_manifest(dataset).to_pylist()
    cell_of = {row["identity_id"]: row["cell"] for row in rows}
    found = {
        arm: Counter(cell_of[i] for i in chosen(rows, SHARES, arm, 1)) for arm in ("balanced", "unbalanced")
    }
    assert found["balanced"].total() == found["unbalanced"].total() > 0
    assert max(found["balanced"].values()) - min(found["balanced"].values()) <= 1
    assert found["unbalanced"][CELLS[0]] >= 2 * max(found["unbalanced"][cell] for cell in CELLS[1:])
    assert (
        chosen(rows, SHARES, "balanced", 1)
        == chosen(rows, SHARES, "balanced", 1)
        != chosen(rows, SHARES, "balanced", 2)
    )


def test_a_cell_without_identities_is_refused():
    with pytest.raises(GateError, match="rare"):
        counts_of({"common": 4, "rare": 4}, {"common": 0.95, "rare": 0.05}, "unbalanced")


def test_an_arm_has_as_many_identities_whichever_origins_it_takes():
    cells = ("a", "b")
    rows = [
        {"split": "train", "cell": cell, "origin": origin, "identity_id": f"{cell} {origin} {k}"}
        for cell in cells
        for origin, n in (("synthetic", 6), ("photograph", 9))
        for k in range(n)
    ]
    shares = dict.fromkeys(cells, 0.5)
    found = {
        origins: chosen(rows, shares, "balanced", 1, origins)
        for origins in ((), ("synthetic",), ("photograph",), ("photograph", "synthetic"))
    }
    assert {len(kept) for kept in found.values()} == {12}
    assert found[()] == found["photograph", "synthetic"]
    assert Counter(tuple(name.split()[:2]) for name in found[()]) == {
        (cell, origin): 3 for cell in cells for origin in ("synthetic", "photograph")
    }
    assert all("photograph" in name for name in found["photograph",])
    with pytest.raises(UsageError, match="photograph"):
        chosen([row for row in rows if row["origin"] == "synthetic"], shares, "balanced", 1, ["photograph"])


def test_datasets_of_several_origins_are_measured_by_origin_too():
    rows = [
        {"origin": origin, "method": method, "label": int(method != "none")}
        for origin in ("photograph", "synthetic")
        for method in ("none", "seen", "unseen")
    ]
    parts = parts_of(rows, "test", ["unseen"])
    assert {name: [(row["origin"], row["method"]) for row in part] for name, part in parts.items()} == {
        "test": [(o, m) for o in ("photograph", "synthetic") for m in ("none", "seen")],
        "test-heldout": [(o, m) for o in ("photograph", "synthetic") for m in ("none", "unseen")],
        **{f"test-{o}": [(o, "none"), (o, "seen")] for o in ("photograph", "synthetic")},
        **{f"test-{o}-heldout": [(o, "none"), (o, "unseen")] for o in ("photograph", "synthetic")},
    }
    assert set(parts_of(rows[:3], "test", [])) == {"test"}


def test_an_arm_is_a_whole_manifest_without_test_rows(dataset, tmp_path):
    path = write_arm(dataset, tmp_path / "arm", SHARES, "unbalanced", 3)
    assert validate(path) == []
    whole, rows = read_manifest(dataset).to_pylist(), read_manifest(path).to_pylist()
    assert {row["split"] for row in rows} == {"train", "val"}
    kept = {row["identity_id"] for row in rows if row["split"] == "train"}
    for split, expected in (("val", lambda row: True), ("train", lambda row: row["identity_id"] in kept)):
        assert {row["image_id"] for row in rows if row["split"] == split} == {
            row["image_id"] for row in whole if row["split"] == split and expected(row)
        }  # an identity has all its fakes


def test_an_interval_ends_where_the_figure_does():
    rates, differences = [0.01, 0.03, 0.09], [-0.9, 0.9, 0.8]
    assert t_interval(rates)["low"] == 0
    assert t_interval([1 - rate for rate in rates])["high"] == 1
    assert t_interval(differences, least=-1.0)["low"] == -1
    narrow = t_interval([0.4, 0.41, 0.42])
    assert 0.3 < narrow["low"] < narrow["mean"] < narrow["high"] < 0.5


def test_t_interval_is_that_of_scipy():
    values = [0.7, 0.75, 0.72]
    found = t_interval([*values, math.nan])
    low, high = stats.t.interval(0.95, 2, np.mean(values), stats.sem(values))
    assert (found["mean"], found["low"], found["high"], found["n"]) == pytest.approx(
        (np.mean(values), low, high, 3)
    )
    assert t_interval([math.nan]) == {"mean": None, "low": None, "high": None, "n": 0}
    assert t_interval([0.5])["low"] is None


def test_rates_of_groups_and_the_gap_that_chance_makes():
    rng = np.random.default_rng(3)
    cells = np.repeat(["a/x", "b/x"], 400)
    label = np.tile([0, 1], 400)
    score = np.clip(0.3 + 0.4 * label + 0.15 * rng.standard_normal(800) + 0.2 * (cells == "b/x"), 0, 1)

    def drawn(groups):
        return scores_of(
            [
                {"image_id": f"i{k}", "label": int(label[k]), "score": float(score[k]), "cell": cell}
                | {"race": cell[0], "gender": cell[2], "identity_id": f"i{k}", "method": "m"}
                | dict.fromkeys(("counterfactual_id", "video_id"))
                for k, cell in enumerate(groups)
            ],
            "d",
        )

    scores = drawn(cells.tolist())
    apart = measure(scores, 0.5, "cell", 1, 300)
    for cell in ("a/x", "b/x"):
        real = score[(cells == cell) & (label == 0)]
        assert apart.groups[cell]["FPR"] == pytest.approx((real >= 0.5).mean())
    assert apart.figures["F_FPR"] > 3 * apart.chance["p95"]
    assert apart.chance["p"] < 0.01
    alike = measure(drawn(["a/x", "a/x", "b/x", "b/x"] * 200), 0.5, "cell", 1, 300)
    assert alike.chance["p"] > 0.05
    assert measure(scores, 0.5, "cell", 1).chance == {}
    over = groups_over_seeds({1: apart, 2: apart})
    assert over["b/x"]["FPR"]["mean"] == pytest.approx(apart.groups["b/x"]["FPR"])
    assert over["b/x"]["FPR"]["n"] == 2


def test_effects_recover_what_was_put_in():
    """Figures made of known effects of two factors plus a shift of each seed: the effects come back without
    spread.
    """
    factors = {f"{d}-{o}": {"data": d, "optimizer": o} for d in ("un", "bal") for o in ("sgd", "sam")}
    factors["extra"] = {"data": "un", "optimizer": "sgd", "loss": "dag"}
    measured = {
        name: {
            seed: dict.fromkeys(
                FIGURES, 0.5 + 0.1 * (of["data"] == "bal") - 0.03 * (of["optimizer"] == "sam") + seed / 10
            )
            for seed in (1, 2, 3)
        }
        for name, of in factors.items()
    }
    found = effects(factors, measured)
    assert set(found) == {"data: bal - un", "optimizer: sam - sgd"}
    for name, expected in (("data: bal - un", 0.1), ("optimizer: sam - sgd", -0.03)):
        value = found[name]["F_FPR"]
        assert (value["mean"], value["low"], value["high"]) == pytest.approx((expected,) * 3)
    spread = over_seeds(measured["un-sgd"])["AUC"]
    assert spread["high"] - spread["low"] > 0.2  # the seeds' shift is in the variant's own interval


def test_stage_is_there_only_where_it_is_asked_for():
    assert stages_of(Config()) == STAGES
    config = Config.model_validate({"ablation": {"variants": {"a": {"data": "balanced"}}}})
    assert stages_of(config) == [*STAGES, *OPTIONAL]
    assert [stage.name for stage in select("ablation", None, config)] == ["ablation"]
    with pytest.raises(UsageError, match="not known"):
        select("ablation", None, Config())


def test_the_whole_stage_on_drawn_data(dataset, tmp_path, monkeypatch):
    """Two variants, two seeds, through the runner; stopped after one shard and begun again."""
    monkeypatch.setenv(
        "FAIRFORGE_DATA", ""
    )  # so that the second dataset is called synthetic wherever the test runs
    from pipeline.engine.executors import Executor
    from pipeline.engine.progress import Reporter
    from pipeline.engine.runner import Flags, run_stage
    from pipeline.engine.shards import do_shard, not_done
    from pipeline.engine.stage import Context, Outcome, write_stage_marker

    sgd = {"optimizer": "sgd", "heads": [], "loss": "cross-entropy"}
    config = Config.model_validate(
        {
            "dataset": {"only": list(CELLS)},
            "ablation": {
                "seeds": [1, 2],
                "shares": {CELLS[0]: 0.5},
                "variants": {
                    "sgd": {"data": "unbalanced", "train": sgd, "factors": {"o": "sgd"}},
                    "sam": {
                        "data": "unbalanced",
                        "factors": {"o": "sam"},
                        "first": {"train": sgd | {"heads": ["race", "gender"]}},
                    },
                },
            },
            "train": {
                "backbone": "test_resnet",
                "residual_input": False,
                "input_size": 32,
                "epochs": 1,
                "batch": 8,
                "precision": "float32",
            },
            "forge": {"methods": ["swap-delaunay"], "held_out": ["blend-self"]},
            "evaluate": {"threshold": "val-eer", "min_n": 1},
        }
    )
    run = RunDirectory(tmp_path / "run", config)
    for stage, place in ((STAGES[4], run.folder("pair")), (STAGES[9], run.folder("cross/pair"))):
        shutil.copytree(dataset, place, copy_function=os.link)
        write_stage_marker(run, stage, "", {}, Outcome([place / "manifest.parquet"]))
    (stage,) = OPTIONAL
    with Executor("local", 1) as executor:
        context = Context(run, executor, Reporter(quiet=True))
        tasks = stage.tasks(context, "key")
        assert [(t.payload.seed, t.payload.variant) for t in tasks] == [
            (1, "sgd"),
            (1, "sam"),
            (2, "sgd"),
            (2, "sam"),
        ]
        do_shard(tasks[0])
        assert not_done(tasks[0]) is None
        run_stage(context, stage, Flags())
    value = json.loads((run.root / "ablation" / "ablation.json").read_text())
    assert set(value["datasets"]) == {"test", "test-heldout", "cross-synthetic", "cross-synthetic-heldout"}
    for dataset_value in value["datasets"].values():
        assert set(dataset_value["variants"]) == {"sgd", "sam", "linear probe", "constant predictor"}
        assert dataset_value["variants"]["linear probe"]["AUC"]["n"] == 1
        assert dataset_value["variants"]["constant predictor"]["AUC"]["mean"] == 0.5
        mean = np.mean([dataset_value["measured"]["sam"][seed]["AUC"] for seed in "12"])
        assert dataset_value["variants"]["sam"]["AUC"]["mean"] == pytest.approx(mean)
        assert set(dataset_value["groups"]["sam"]) == set(CELLS)
        assert set(dataset_value["groups"]["sam"][CELLS[0]]) == {"FPR", "TPR", "AUC"}
        fpr = [dataset_value["groups"]["sam"][cell]["FPR"]["mean"] for cell in CELLS]
        assert all(0 <= rate <= 1 for rate in fpr)
        for seed in "12":
            chance = dataset_value["chance"]["sam"][seed]
            assert 0 <= chance["p"] <= 1
            assert 0 <= chance["p95"] <= 1
        assert set(dataset_value["effects"]) == {"o: sam - sgd"}
    assert value["training"]["precision"] == ["float32"]
    first, then = (
        json.loads((run.root / "ablation" / "work" / "sam-1" / name / "training.json").read_text())
        for name in ("first", "detector")
    )
    assert (first["settings"]["optimizer"], then["settings"]["optimizer"]) == ("sgd", "sam")
    assert then["settings"]["start"].endswith("first")
    text = (run.root / "ablation" / "ablation.md").read_text()
    assert "| o: sam - sgd |" in text
    assert text.count("constant predictor") == 4
