"""What stands below a detector in every table: what is fitted on what, what is left out with its reason, what
tables show.
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from detector.inference.checkpoints import save_checkpoint
from detector.metrics.rates import auc
from detector.models.network import build_network
from detector.models.network_config import NetworkConfig
from manifests import read_manifest
from manifests.errors import MissingError
from manifests.store import write_manifest
from pipeline.__main__ import main
from pipeline.commands.evaluate.table import cross_table
from pipeline.engine.config_outcome import EvaluateSection
from pipeline.stages.evaluate import floors
from pipeline.stages.evaluate.floors import Floors, build_floors, training_of
from tests.manifests.manifest_rows import drawn_set


def speckled(image: np.ndarray, method: str) -> tuple[np.ndarray, str, None]:
    """A fake that any features tell from its real half."""
    noise = np.random.default_rng(0).integers(0, 60, image.shape)
    return (image * 0.6 + noise).clip(0, 255).astype(np.uint8), "png", None


@pytest.fixture(scope="module")
def places(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A dataset of easy fakes, the same without its train split, and two detectors of random weights."""
    root = tmp_path_factory.mktemp("floors")
    table = drawn_set(root / "easy", per_cell=4, size=32, fake=speckled, codec="png")
    kept = pa.array([split == "test" for split in table["split"].to_pylist()])
    shutil.copytree(root / "easy", root / "alone")
    write_manifest(table.filter(kept), root / "alone" / "manifest.parquet")
    config = NetworkConfig(backbone="test_resnet", input_size=32)
    for seed, name in enumerate(("new", "old")):
        save_checkpoint(
            root / name / "checkpoint.safetensors", config, build_network(config, seed).state_dict(), {}
        )
    return root


def evaluate(places: Path, out: Path, *more: str, data: str = "easy") -> int:
    return main(
        [
            "evaluate",
            "--checkpoint",
            str(places / "new"),
            "--manifest",
            str(places / data),
            "--out",
            str(out),
            "--replicates",
            "5",
            *more,
        ]
    )


def test_the_probe_is_fitted_to_the_train_split_and_predicts_like_a_detector(places: Path) -> None:
    training = training_of([places / "alone", places / "easy"], {})
    assert training is not None
    assert training.manifest == places / "easy" / "manifest.parquet"
    found, left_out = build_floors(Floors(("linear-probe",)), training, "cpu")
    (floor,) = found
    assert (floor.title, left_out) == ("linear probe", {})
    assert floor.model.input_size == 32
    from pipeline.stages.evaluate.image_scores import score_manifest

    rows = score_manifest(floor.model, places / "easy", "test")
    assert auc([row["label"] for row in rows], [row["score"] for row in rows]) > 0.95
    (again,), _ = build_floors(Floors(("linear-probe",)), training, "cpu")
    assert again.digest == floor.digest


def test_every_floor_is_measured_or_left_out_with_its_reason(places, tmp_path, capsys):
    assert (
        evaluate(
            places, tmp_path / "a", "--set", f"evaluate.previous={places / 'old'}", "--threshold", "val-eer"
        )
        == 0
    )
    text = capsys.readouterr().out
    value = json.loads((tmp_path / "a" / "results.json").read_text())
    assert set(value["floors"]) == {"linear probe", "previous detector"}
    assert value["floors_left_out"] == {}
    entry = value["floors"]["linear probe"]["easy"]
    assert entry["utility"]["AUC"] > 0.95
    assert entry["threshold"] != value["threshold"]["value"]  # its own, by its own validation scores
    for name in ("new |", "linear probe |", "previous detector |", "constant predictor |"):
        assert f"| {name}" in text
    assert evaluate(places, tmp_path / "b", data="alone") == 0
    text = capsys.readouterr().out
    value = json.loads((tmp_path / "b" / "results.json").read_text())
    assert value["floors"] == {}
    assert set(value["floors_left_out"]) == {"linear probe", "previous detector"}
    assert "Without linear probe: no manifest here has a train split" in text
    assert "Without previous detector: evaluate.previous names none" in text
    assert evaluate(places, tmp_path / "c", "--set", "evaluate.floors=[]") == 0
    value = json.loads((tmp_path / "c" / "results.json").read_text())
    assert (value["floors"], value["floors_left_out"]) == ({}, {})


def test_a_table_of_several_detectors_names_each_ones_floors(places, tmp_path):
    for name in ("a", "b"):
        assert (
            evaluate(
                places,
                tmp_path / name,
                "--set",
                f"evaluate.previous={places / 'old'}",
                "--set",
                f"evaluate.floors={['previous'] if name == 'a' else ['previous', 'linear-probe']}".replace(
                    "'", '"'
                ),
            )
            == 0
        )
    table = cross_table([tmp_path / "a", tmp_path / "b"], ["x", "y"])
    assert table.detectors == (
        "x",
        "y",
        "previous detector of x",
        "linear probe",
        "previous detector of y",
        "constant predictor",
    )
    assert table.cells["linear probe"]["easy"]["AUC"].low is not None


def test_a_previous_detector_that_is_not_there_is_an_error(places, tmp_path, capsys):
    assert evaluate(places, tmp_path / "a", "--set", "evaluate.previous=no-such-detector") == 3
    assert "no-such-detector" in capsys.readouterr().err
    with pytest.raises(MissingError):
        floors.previous_digest(Floors(("previous",), "no-such-detector"))
    assert floors.previous_digest(Floors((), "no-such-detector")) == {}


def test_few_images_of_each_class_are_fitted(places, monkeypatch):
    monkeypatch.setattr(floors, "MOST", 3)
    some = floors._some(read_manifest(places / "easy")).to_pylist()
    assert sorted(row["label"] for row in some) == [0, 0, 0, 1, 1, 1]
    assert {row["split"] for row in some} == {"train"}


def test_all_floors_are_asked_for_by_default_and_have_a_title():
    assert set(EvaluateSection().floors) == set(floors.TITLES)
