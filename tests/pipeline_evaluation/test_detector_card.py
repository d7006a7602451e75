"""`fairforge detector-card`: its figures are those of the evaluation, of the scores and of the perturbed
pictures.
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest

from detector import load_detector
from detector.inference.checkpoints import read_checkpoint, save_checkpoint
from detector.metrics.rates import auc
from detector.models.network import build_network
from detector.models.network_config import NetworkConfig
from manifests import read_manifest
from manifests.images import read_image
from pipeline.__main__ import main
from pipeline.commands.evaluate import card as detector_card
from pipeline.commands.evaluate.card_text import failures
from pipeline.commands.evaluate.perturbations import PERTURBATIONS
from tests.manifests.manifest_rows import CELLS, drawn_set

METHODS = {"none": "none", "swap-a": "swap", "blend-b": "blend"}


@pytest.fixture(scope="module")
def places(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A detector that says what its training was, a dataset, and an evaluation of the one on the other."""
    root = tmp_path_factory.mktemp("card")
    drawn_set(root / "set", per_cell=3, size=32, methods=METHODS)
    config = NetworkConfig(backbone="test_resnet", input_size=32, temperature=1.5)
    training = {
        "settings": {"online": {"swap-a": 1.0}, "loss": "cross-entropy"},
        "steps": 1200,
        "images_seen": 38400,
        "images": {"train": 24, "val": 12},
        "before": {"steps": 10, "images_seen": 1320},
    }
    known = {"nll": 0.7, "ece": 0.2}
    facts = {
        "training": training,
        "licence": "CC BY 4.0",
        "data": "FairFace, named",
        "calibration": {"n": 12, "before": known, "after": {"nll": 0.6, "ece": 0.0625}},
    }
    save_checkpoint(root / "d.safetensors", config, build_network(config, 0).state_dict(), facts)
    assert (
        main(
            [
                "evaluate",
                "--checkpoint",
                str(root / "d.safetensors"),
                "--manifest",
                str(root / "set"),
                "--threshold",
                "val-eer",
                "--out",
                str(root / "e"),
                "--replicates",
                "10",
                "--min-n",
                "1",
                "--set",
                "evaluate.floors=[]",
            ]
        )
        == 0
    )
    return root


@pytest.fixture(scope="module")
def card(places: Path) -> tuple[dict[str, Any], str]:
    value, out = detector_card.write_card(
        [places / "e"], places / "d.safetensors", places / "CARD.md", "blur:2,jpeg:30", 5, 10, 0, "cpu"
    )
    return json.loads(json.dumps(value)), Path(out).read_text()


def test_cells_methods_and_qualities_have_the_figures_of_their_sources(places, card):
    value, _ = card
    results = json.loads((places / "e" / "results.json").read_text())
    one, entry = value["datasets"]["set"], results["datasets"]["set"]
    assert set(one["cells"]) == set(CELLS)
    for cell, row in one["cells"].items():
        expected = entry["groups"]["cell"][cell]
        assert [row[f] for f in ("AUC", "TPR", "FPR", "n_real")] == [
            expected[f] for f in ("AUC", "TPR", "FPR", "n_real")
        ]
        assert row["intervals"]["FPR"] == expected["intervals"]["FPR"]
    rows = pq.read_table(places / "e" / "scores.parquet").to_pylist()
    for method, row in one["methods"].items():
        mine = [r for r in rows if r["method"] in ("none", method)]
        assert row["AUC"] == pytest.approx(auc([r["label"] for r in mine], [r["score"] for r in mine]))
    assert set(one["methods"]) == {"swap-a", "blend-b"}
    threshold = results["threshold"]["value"]
    model = load_detector(places / "d.safetensors")
    kept = {
        r["image_id"]: r
        for r in read_manifest(places / "set").to_pylist()
        if r["label"] == 0 and r["split"] == "test"
    }
    names = sorted(kept, key=lambda name: detector_card.seed_of(0, "detector card", name))[:5]
    for quality in one["qualities"]:
        assert quality["n"] == 5
        images = [read_image(places / "set" / kept[name]["path"]) for name in names]
        if quality["quality"] != "clean":
            change = PERTURBATIONS[quality["quality"]]
            images = [
                change.apply(image, quality["strength"], name)
                for image, name in zip(images, names, strict=True)
            ]
        assert quality["FPR"]["value"] == pytest.approx(np.mean(model.predict(np.stack(images)) >= threshold))
    assert [(q["quality"], q["strength"]) for q in one["qualities"]] == [
        ("clean", 0),
        ("blur", 2),
        ("jpeg", 30),
    ]


def test_the_page_says_all_of_it(places, card):
    value, text = card
    for words in (
        "CC BY 4.0",
        "FairFace, named",
        "1,200 steps, 38,400 images seen",
        "before, 10 steps and 1,320 images of the detector it went on from",
        "swap-a (drawn anew",
        "Temperature 1.500",
        "| after | 0.062 |",
        "## What it is for",
        "**Not for**",
        "## Where it fails",
        "AUC of the floors: constant",
        value["sha256"],
        "(F_FPR): 0.",
        "| as they are | 5 |",
        "| jpeg 30 (quality) | 5 |",
    ):
        assert words in text, words
    for cell in CELLS:
        assert re.search(rf"^\| {cell} \| 3 \| 6 \| [\d.]+ \[[\d.]+, [\d.]+\]", text, re.M)
    assert re.search(r"^\| blend-b \| never \|", text, re.M)
    assert re.search(r"^\| swap-a \| yes \|", text, re.M)
    assert "blend-b, never trained on: AUC" in text


def figures(fpr: float, tpr: float = 0.9, auc_: float = 0.9) -> dict[str, Any]:
    between = {"FPR": [fpr, fpr], "TPR": None, "AUC": None}
    return {"AUC": auc_, "TPR": tpr, "FPR": fpr, "intervals": between, "n_real": 9, "n_fake": 9}


def quality(name: str, value: float, lower: float, upper: float) -> dict[str, Any]:
    return {
        "quality": name,
        "strength": 2,
        "unit": "u",
        "n": 50,
        "FPR": {"value": value, "lower": lower, "upper": upper},
    }


def test_failures_are_computed():
    one = {
        "cells": {"a": figures(0.1, 0.5), "b": figures(0.3), "c": figures(0.2)},
        "qualities": [
            quality("clean", 0.05, 0.02, 0.1),
            quality("blur", 0.5, 0.4, 0.6),
            quality("noise", 0.12, 0.06, 0.2),
            quality("jpeg", 0.9, 0.8, 0.95),
        ],
        "methods": {
            "seen": figures(0.1, auc_=0.5),
            "weak": figures(0.1, auc_=0.6),
            "weaker": figures(0.1, auc_=0.55),
            "fine": figures(0.1, auc_=0.8),
        },
    }
    found = failures({"datasets": {"d": one}, "trained_on": ["seen"]})
    assert [line.split(":")[1].split(" raises")[0].strip().split(",")[0] for line in found] == [
        "it most often calls real faces fake in b",
        "it most often misses fakes in a",
        "jpeg 2 (u)",
        "blur 2 (u)",
        "weaker",
        "weak",
    ]
    calm = {**one, "qualities": one["qualities"][::2], "methods": {}}
    assert "no quality that was tried" in failures({"datasets": {"d": calm}, "trained_on": None})[-1]


@pytest.mark.parametrize("case", ["another detector", "twice", "no evaluation", "perturbation"])
def test_what_makes_no_card(places, tmp_path, capsys, case):
    given, checkpoint, more = [str(places / "e")], places / "d.safetensors", []
    if case == "another detector":
        checkpoint = tmp_path / "other.safetensors"
        config, _, state = read_checkpoint(places / "d.safetensors")
        save_checkpoint(checkpoint, config, state, {})
    elif case == "twice":
        given *= 2
    elif case == "no evaluation":
        given = [str(tmp_path)]
    else:
        more = ["--perturb", "blurr"]
    out = tmp_path / "card.md"
    assert main(["detector-card", *given, "--checkpoint", str(checkpoint), "--out", str(out), *more]) in (
        2,
        3,
    )
    words = {
        "another detector": "is no evaluation of this detector",
        "twice": "stands in two",
        "no evaluation": "run `fairforge eval",
        "perturbation": "did you mean blur",
    }
    assert words[case] in capsys.readouterr().err
    assert not out.exists()
