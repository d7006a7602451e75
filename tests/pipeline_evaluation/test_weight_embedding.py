"""`fairforge weights embed`, and the name it gives in every command that takes a detector."""

from __future__ import annotations

import fcntl
import json
import os
import tomllib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import typer

from detector.inference.checkpoints import PHOTOGRAPHS, read_checkpoint, save_checkpoint
from detector.models.network import build_network
from detector.models.network_config import NetworkConfig, Other
from manifests.images import encode
from pipeline.__main__ import main
from pipeline.cli import build
from pipeline.commands.weights import embedding as weight_embedding
from tests.manifests.manifest_rows import drawn, drawn_set

FACTS = {
    "settings": {"batch": 8, "seed": 1, "online": {}, "heads": []},
    "kept_epoch": 3,
    "val": {"steps": 5},
    "val_auc": 0.7,
    "images": {"train": 10, "val": 4},
    "parameters": 1,
    "precision": "float32",
    "sha256": {"manifest": "0"},
}


@pytest.fixture(scope="module")
def places(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A detector of random weights with a training's facts, a manifest, and a picture."""
    root = tmp_path_factory.mktemp("embedding")
    drawn_set(root / "set", per_cell=3, size=24)
    config = NetworkConfig(backbone="test_resnet", input_size=32)
    network = build_network(config, 0)
    with torch.no_grad():
        network.fake.weight.mul_(30)
    folder = root / "lab" / "detector"
    folder.mkdir(parents=True)
    save_checkpoint(folder / "checkpoint.safetensors", config, network.state_dict(), {"taxonomy": ""})
    (folder / "training.json").write_text(json.dumps(FACTS))
    (root / "p.png").write_bytes(encode(drawn(np.random.default_rng(0), 48), "png"))
    return root


@pytest.fixture
def weights(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("FAIRFORGE_WEIGHTS", str(tmp_path / "weights"))
    monkeypatch.setattr("manifests.weights.PACKAGES", ("generators", "attribute_models"))
    return tmp_path / "weights"


def embed(places: Path, *more: str, name: str = PHOTOGRAPHS) -> int:
    return main(
        [
            "weights",
            "embed",
            str(places / "lab/detector"),
            "--name",
            name,
            "--licence",
            "CC0",
            "--data",
            "drawn pictures",
            "--validation",
            str(places / "set"),
            *more,
        ]
    )


def test_the_file_is_small_calibrated_recorded_and_says_what_it_is(places, weights, capsys):
    assert embed(places, "--threshold", "val-eer", "--json") == 0
    told = json.loads(capsys.readouterr().out)
    file = weights / f"{PHOTOGRAPHS}.safetensors"
    assert file.stat().st_size < 0.7 * (places / "lab/detector/checkpoint.safetensors").stat().st_size
    config, header, state = read_checkpoint(file)
    before = read_checkpoint(places / "lab/detector/checkpoint.safetensors")[2]
    assert any(
        not torch.equal(value, before[name]) for name, value in state.items() if name.endswith("running_mean")
    )  # by what rounding the convolutions before them does
    assert config.temperature == pytest.approx(told["measured"]["temperature"], abs=1e-4)
    assert config.temperature != 1
    assert (header["licence"], header["data"]) == ("CC0", "drawn pictures")
    assert (header["training"]["steps"], header["training"]["images_seen"]) == (15, 120)
    assert header["threshold"]["policy"] == "val-eer"
    assert header["calibration"]["n"] == 24
    entry = tomllib.loads((weights / "weights.toml").read_text())[PHOTOGRAPHS]
    assert (entry["kind"], entry["sha256"], entry["licence"]) == ("detector", told["sha256"], "CC0")
    assert entry["measured"]["half_precision_change"] < weight_embedding.CHANGE
    assert main(["weights", "verify"]) == 0
    data = file.read_bytes()
    assert embed(places, "--threshold", "val-eer") == 0  # again, in place
    assert file.read_bytes() == data


def test_the_file_and_its_entry_are_written_in_turn_with_imports(places, weights, monkeypatch):
    """The lock of the folder is held while the file is written."""
    from detector.inference import checkpoints

    tried = []

    def write(file: Path, *more: Any) -> None:
        handle = os.open(weights / ".lock", os.O_RDWR)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            tried.append(file)
        finally:
            os.close(handle)
        save_checkpoint(file, *more)

    monkeypatch.setattr(checkpoints, "save_checkpoint", write)
    assert embed(places) == 0
    assert tried == [weights / f"{PHOTOGRAPHS}.safetensors"]


def test_a_detector_made_of_an_embedded_one_keeps_what_its_training_was(places, weights):
    assert embed(places) == 0
    assert (
        main(
            [
                "weights",
                "embed",
                PHOTOGRAPHS,
                "--name",
                "second",
                "--licence",
                "CC0",
                "--data",
                "d",
                "--validation",
                str(places / "set"),
            ]
        )
        == 0
    )
    first, second = (read_checkpoint(weights / f"{name}.safetensors") for name in (PHOTOGRAPHS, "second"))
    assert second[1]["training"] == first[1]["training"]
    assert second[0].temperature == pytest.approx(first[0].temperature, rel=1e-2)


def test_steps_of_the_detectors_before_are_counted(places, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name, start in (("a", "gone"), ("b", "a"), ("c", "b"), ("d", "e"), ("e", "d")):
        (tmp_path / name).mkdir()
        (tmp_path / name / "checkpoint.safetensors").write_bytes(b"")
        facts = {**FACTS, "settings": {**FACTS["settings"], "start": start}}
        (tmp_path / name / "training.json").write_text(json.dumps(facts))

    def facts_of(name):
        return weight_embedding.training_facts(tmp_path / name / "checkpoint.safetensors")

    assert [facts_of(name)["before"] for name in "ab"] == [{}, {"steps": 15, "images_seen": 120}]
    assert (facts_of("c")["steps"], facts_of("c")["before"]) == (15, {"steps": 30, "images_seen": 240})
    assert facts_of("d")["before"] == {"steps": 15, "images_seen": 120}  # a circle ends


@pytest.mark.parametrize(
    ("arguments", "patch", "code", "message"),
    [
        (["--name", "a/b"], {}, 2, "is not a file's name"),
        (["--name", "starter64"], {}, 2, "is known already"),
        (["--threshold", "best"], {}, 2, "threshold"),
        (["--validation", "nowhere"], {}, 3, "nowhere"),
        ([], {"LARGEST": 1000}, 2, "in half precision, more than"),
        ([], {"CHANGE": 0.0}, 3, "changes a score by"),
    ],
)
def test_what_cannot_be_embedded_leaves_nothing(
    places, weights, monkeypatch, capsys, arguments, patch, code, message
):
    for name, value in patch.items():
        monkeypatch.setattr(weight_embedding, name, value)
    assert embed(places, *arguments) == code
    assert message in capsys.readouterr().err
    assert not weights.exists()


def test_a_detector_beside_others_that_is_too_large_says_why(places, weights, monkeypatch, capsys, tmp_path):
    monkeypatch.setattr(weight_embedding, "LARGEST", 1000)
    one = NetworkConfig(backbone="test_resnet", input_size=32)
    config = one.model_copy(
        update={"architecture": "beside", "beside": (Other(name="p", sha256="", weight=0.4, config=one),)}
    )
    file = tmp_path / "checkpoint.safetensors"
    save_checkpoint(file, config, build_network(config, 0).state_dict(), {"taxonomy": ""})
    command = ["weights", "embed", str(file), "--name", "b", "--licence", "none", "--data", "none"]
    assert main([*command, "--validation", str(places / "set")]) == 2
    assert "train it without train.beside" in capsys.readouterr().err
    assert not weights.exists()


def test_predict_needs_no_checkpoint_and_says_by_what(places, weights, capsys):
    assert main(["predict", str(places / "p.png"), "--no-faces"]) == 3
    assert "not in this installation" in capsys.readouterr().err
    assert embed(places, "--threshold", "val-eer") == 0
    capsys.readouterr()
    assert main(["predict", str(places / "p.png"), "--no-faces", "--json"]) == 0
    told = capsys.readouterr()
    sha = tomllib.loads((weights / "weights.toml").read_text())[PHOTOGRAPHS]["sha256"]
    assert f"embedded detector photographs (sha256 {sha[:8]}; called fake from" in told.err
    assert "without a card" in told.err
    (weights / "README.md").write_text("card")
    assert main(["predict", str(places / "p.png"), "--no-faces", "--json", "--checkpoint", PHOTOGRAPHS]) == 0
    again = capsys.readouterr()
    assert json.loads(again.out) == json.loads(told.out)
    assert again.err == ""
    main(["predict", str(places / "p.png"), "--no-faces"])
    assert f"card: {weights / 'README.md'}" in capsys.readouterr().err


def commands(command: Any, words: tuple[str, ...] = ()) -> dict[str, Any]:
    if not hasattr(command, "commands"):
        return {" ".join(words): command}
    return {
        name: one
        for word, inner in command.commands.items()
        for name, one in commands(inner, (*words, word)).items()
    }


TAKING = {
    "predict": ["{root}/p.png", "--no-faces"],
    "export-onnx": ["--out", "{tmp}/d.onnx"],
    "evaluate": [
        "--manifest",
        "{root}/set",
        "--out",
        "{tmp}/e",
        "--replicates",
        "0",
        "--set",
        "evaluate.floors=[]",
    ],
    "detector-card": ["{tmp}/e", "--out", "{tmp}/card.md", "--perturb", "blur:1", "--replicates", "0"],
    "robustness": ["--manifest", "{root}/set", "--perturb", "blur:1"],
    "causal-check": ["--manifest", "{root}/set", "--feature", "brightness", "--replicates", "10"],
}
"""Every command with a `--checkpoint`, and what else it needs."""
OF_CLIPS = {"av predict": ["{root}"], "av evaluate": ["--manifest", "{root}/set"]}
"""Commands whose `--checkpoint` is a model of sound and picture: it has no name, and a detector of pictures
is none.
"""


@pytest.mark.parametrize("where", ["name", "folder of that name in the way", "folder"])
def test_every_command_that_takes_a_detector_takes_the_name(
    places, weights, tmp_path, monkeypatch, capsys, where
):
    tree = commands(typer.main.get_command(build()))
    assert {name for name, one in tree.items() if any("--checkpoint" in p.opts for p in one.params)} == set(
        TAKING
    ) | set(OF_CLIPS)
    monkeypatch.chdir(tmp_path)
    assert embed(places) == 0
    if where == "folder of that name in the way":
        (tmp_path / PHOTOGRAPHS).mkdir()
    exported = {"outputs": [], "largest_difference": 0.0, "onnx": ""}
    monkeypatch.setattr("detector.inference.onnx_export.export_onnx", lambda model, out: exported)
    for name, words in TAKING.items():
        filled = [word.format(root=places, tmp=tmp_path) for word in words]
        checkpoint = str(places / "lab/detector") if where == "folder" else PHOTOGRAPHS
        assert main([name, *filled, "--checkpoint", checkpoint]) == 0, capsys.readouterr().err
    results = json.loads((tmp_path / "e" / "results.json").read_text())
    assert results["detector"] == ("lab" if where == "folder" else PHOTOGRAPHS)


@pytest.mark.parametrize("name", OF_CLIPS)
def test_a_detector_of_pictures_is_refused_where_clips_are_scored(places, weights, tmp_path, capsys, name):
    words = [word.format(root=places) for word in OF_CLIPS[name]]
    out = ["--out", str(tmp_path / "o")] if name.endswith("evaluate") else []
    for checkpoint in (places / "lab/detector", PHOTOGRAPHS):
        assert main([*name.split(), *words, *out, "--checkpoint", str(checkpoint)]) in (2, 3)
        assert "Traceback" not in (said := capsys.readouterr().err)
        assert "av train" in said
