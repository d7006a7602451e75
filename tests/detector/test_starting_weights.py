"""Weights to start from, what a backbone expects, and inputs that do not fit."""

from __future__ import annotations

import json
import warnings
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import timm
import torch
from pydantic import ValidationError
from safetensors.torch import load_file, save_file
from sklearn.metrics import roc_auc_score

from detector.inference.checkpoints import read_checkpoint, save_checkpoint
from detector.inference.prediction import load_detector
from detector.models.backbones import TrunkParams, build_backbone
from detector.models.network import create_network
from detector.models.network_config import NetworkConfig
from detector.models.starting_weights import (
    check_taxonomy,
    input_size_of,
    load_backbone,
    load_start,
    normalisation_of,
    read_weights,
)
from detector.training.data import open_manifest, read_split
from detector.training.loop import train
from detector.training.settings import TrainSettings
from manifests.errors import DataError, DataWarning, MissingError, UsageError
from pipeline.__main__ import main
from tests.detector.detector_fixtures import TINY, to_come


def fit(manifest: Path, out: Path, **changes: Any) -> list[dict[str, Any]]:
    seen: list[dict[str, Any]] = []
    train(TrainSettings(**{**TINY, "epochs": 1, "batch": 16, **changes}), manifest, out, to_come(seen))
    return seen


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A timm model's whole state dict, classifier too, as a training of others would leave it."""
    path = tmp_path_factory.mktemp("weights") / "resnet.pth"
    torch.manual_seed(77)
    model = timm.create_model("test_resnet", pretrained=False)
    torch.save({"epoch": 3, "state_dict": {f"module.{k}": v for k, v in model.state_dict().items()}}, path)
    return path


def test_a_pretrained_trunk_gives_the_pretrained_features_whatever_the_residual(weights: Path) -> None:
    reference = timm.create_model("test_resnet", pretrained=False, num_classes=0).eval()
    reference.load_state_dict(
        {
            k.removeprefix("module."): v
            for k, v in torch.load(weights, weights_only=True)["state_dict"].items()
            if ".fc." not in k
        }
    )
    wide = build_backbone("test_resnet", TrunkParams(in_channels=6)).eval()
    load_backbone(wide, read_weights(weights), "x")
    rgb, rest = torch.randn(2, 3, 32, 32), torch.randn(2, 3, 32, 32)
    torch.testing.assert_close(wide(torch.cat([rgb, rest], 1)), reference(rgb))


def test_a_training_starts_from_pretrained_weights_and_remembers_them(
    manifest: Path, weights: Path, tmp_path: Path
) -> None:
    fit(manifest, tmp_path, pretrained=str(weights), lr=1e-9, ema=0.0)
    state, given = load_file(tmp_path / "checkpoint.safetensors"), read_weights(weights)
    for key in ("layer1.0.conv1.weight", "layer4.0.conv2.weight"):
        torch.testing.assert_close(state[f"trunk.{key}"], given[f"module.{key}"], atol=1e-6, rtol=0)
    assert '"pretrained"' in (tmp_path / "training.json").read_text()
    other = {k: v + 0.1 if v.is_floating_point() else v for k, v in given.items()}
    changed = tmp_path / "changed.safetensors"
    save_file(given, changed)
    assert fit(manifest, tmp_path / "o", pretrained=str(changed))
    assert not fit(manifest, tmp_path / "o", pretrained=str(changed))
    save_file(other, changed)
    assert fit(manifest, tmp_path / "o", pretrained=str(changed)), (
        "other weights at the same path are another training"
    )


def test_weights_that_do_not_fit_are_named(manifest: Path, weights: Path, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"does not fit this backbone: .*is missing"):
        fit(manifest, tmp_path, backbone="test_convnext", pretrained=str(weights))
    (tmp_path / "broken.pth").write_bytes(b"PK\x03\x04 no zip")
    with pytest.raises(DataError, match="not readable as plain tensors"):
        fit(manifest, tmp_path, pretrained=str(tmp_path / "broken.pth"))
    with pytest.raises(MissingError):
        fit(manifest, tmp_path, pretrained="no-such-weight")


def test_a_pickle_that_runs_code_is_refused(tmp_path: Path) -> None:
    class Evil:
        def __reduce__(self) -> tuple[Any, ...]:
            return (open, (str(tmp_path / "owned"), "w"))

    torch.save({"weight": torch.ones(2), "evil": Evil()}, tmp_path / "evil.pth")
    with pytest.raises(DataError):
        read_weights(tmp_path / "evil.pth")
    assert not (tmp_path / "owned").exists()


def test_imported_weights_are_found_by_name(
    manifest: Path,
    weights: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("FAIRFORGE_WEIGHTS", str(tmp_path / "mine"))
    assert (
        main(["weights", "import", str(weights), "--kind", "backbone", "--licence", "MIT", "--name", "tiny"])
        == 0
    )
    assert "tensors" in capsys.readouterr().out
    arguments = [
        "train",
        "--manifest",
        str(manifest),
        "--backbone",
        "test_resnet",
        "--pretrained",
        "tiny",
        "--heads",
        "gender",
        "--loss",
        "cross-entropy",
        "--optimizer",
        "asam",
        "--epochs",
        "1",
        "--batch",
        "16",
        "--set",
        "train.input_size=32",
        "--set",
        "train.threads=1",
        "--out",
        str(tmp_path / "out"),
        "--json",
        "--quiet",
    ]
    assert main(arguments) == 0
    assert '"val_gender_accuracy"' in capsys.readouterr().out
    assert main([*arguments, "--set", "train.rhoo=1"]) == 2
    assert "did you mean rho" in capsys.readouterr().err


def test_going_on_from_a_detector(manifest: Path, tmp_path: Path) -> None:
    fit(manifest, tmp_path / "first")
    before = load_file(tmp_path / "first" / "checkpoint.safetensors")
    fit(manifest, tmp_path / "next", start=str(tmp_path / "first"), lr=1e-9, ema=0.0)
    after = load_file(tmp_path / "next" / "checkpoint.safetensors")
    torch.testing.assert_close(after["fake.weight"], before["fake.weight"], atol=1e-6, rtol=0)
    with pytest.raises(UsageError, match="is another network: backbone is 'test_resnet'"):
        fit(manifest, tmp_path / "o", start=str(tmp_path / "first"), backbone="test_convnext")
    config, header, state = read_checkpoint(tmp_path / "first" / "checkpoint.safetensors")
    save_checkpoint(tmp_path / "other.safetensors", config, state, {**header, "taxonomy": "ffpp"})
    with pytest.raises(UsageError, match="taxonomy ffpp, and the manifest is in fairface4"):
        fit(manifest, tmp_path / "o2", start=str(tmp_path / "other.safetensors"))
    assert not (tmp_path / "o2").exists()


def test_heads_and_decoder_that_the_detector_has_not_start_anew(manifest: Path, tmp_path: Path) -> None:
    fit(manifest, tmp_path / "first", heads=("gender",))
    before = load_file(tmp_path / "first" / "checkpoint.safetensors")
    with pytest.warns(DataWarning, match="has no race: random weights"):
        fit(
            manifest,
            tmp_path / "more",
            start=str(tmp_path / "first"),
            heads=("race", "gender"),
            lr=1e-9,
            ema=0.0,
        )
    after = load_file(tmp_path / "more" / "checkpoint.safetensors")
    assert {name.split(".")[1] for name in after.keys() - before.keys()} == {"race"}
    for name in ("fake.weight", "heads.gender.weight"):
        torch.testing.assert_close(after[name], before[name], atol=1e-6, rtol=0)
    fit(
        manifest,
        tmp_path / "fewer",
        start=str(tmp_path / "more"),
        heads=(),
        loss="cross-entropy",
        lr=1e-9,
        ema=0.0,
    )
    assert not any(
        name.startswith("heads.") for name in load_file(tmp_path / "fewer" / "checkpoint.safetensors")
    )


def test_a_detector_without_demographic_heads_is_a_start_for_any(manifest: Path, tmp_path: Path) -> None:
    fit(manifest, tmp_path / "first", heads=(), loss="cross-entropy")
    with warnings.catch_warnings():
        warnings.simplefilter("error", DataWarning)
        fit(manifest, tmp_path / "next", start=str(tmp_path / "first"), heads=("gender",), lr=1e-9, ema=0.0)
    before, after = (load_file(tmp_path / name / "checkpoint.safetensors") for name in ("first", "next"))
    assert {name.split(".")[1] for name in after.keys() - before.keys()} == {"gender"}
    torch.testing.assert_close(after["fake.weight"], before["fake.weight"], atol=1e-6, rtol=0)


def test_the_start_has_its_share_of_what_is_kept(manifest: Path, tmp_path: Path) -> None:
    fit(manifest, tmp_path / "first", heads=(), loss="cross-entropy")
    given = {"start": str(tmp_path / "first"), "heads": ("gender",), "keep": "last"}
    for share in (0.0, 0.25):
        fit(manifest, tmp_path / str(share), **given, start_share=share)
    start, trained, mean = (
        load_file(tmp_path / name / "checkpoint.safetensors") for name in ("first", "0.0", "0.25")
    )
    moved = 0
    for name, value in mean.items():
        if name in start and value.is_floating_point():
            torch.testing.assert_close(value, 0.75 * trained[name] + 0.25 * start[name], atol=1e-6, rtol=1e-5)
            moved += not torch.equal(value, trained[name])
        else:  # a head that the start has not
            assert torch.equal(value, trained[name])
    assert moved > 5
    facts, lines = ((tmp_path / "0.25" / name).read_text() for name in ("training.json", "metrics.jsonl"))
    table, folder, classes = open_manifest(manifest)
    val = read_split(table, folder, "val", classes, 32)
    scores = load_detector(tmp_path / "0.25").predict(val.images)
    assert json.loads(facts)["val_auc"] == pytest.approx(roc_auc_score(val.labels, scores), abs=1e-12)
    assert lines == (tmp_path / "0.0" / "metrics.jsonl").read_text()
    with pytest.raises(ValidationError, match="give it as start"):
        TrainSettings(start_share=0.5)


def test_another_decoder_and_other_classes() -> None:
    facts = {"backbone": "test_resnet", "input_size": 32}
    settings = TrainSettings(start="d", backbone="test_resnet")
    plain = create_network(NetworkConfig(**facts, heads={"gender": ("Male", "Female")}))
    whole = create_network(NetworkConfig(**facts, heads={"gender": ("Male", "Female")}, mask_decoder=True))
    other = create_network(NetworkConfig(**facts, heads={"gender": ("a", "b")}))

    def start(network: Any, given: Any) -> None:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(
                "detector.inference.checkpoints.find_detector", lambda name: SimpleNamespace(path=Path(name))
            )
            patch.setattr(
                "detector.inference.checkpoints.read_checkpoint",
                lambda path: (given.config, {}, given.state_dict()),
            )
            load_start(network, settings, SimpleNamespace(taxonomy=""))

    kept = whole.decoder.state_dict()
    with pytest.warns(DataWarning, match="has no mask decoder"):
        start(whole, plain)
    assert all(torch.equal(value, kept[name]) for name, value in whole.decoder.state_dict().items())
    assert torch.equal(whole.fake.weight, plain.fake.weight)
    start(plain, whole)
    with pytest.raises(UsageError, match="head gender has a, b, the settings' Male, Female"):
        start(plain, other)


def test_taxonomies_are_compared_where_heads_depend_on_them() -> None:
    with pytest.raises(UsageError, match="taxonomy ffpp, and the manifest is in fairface4") as caught:
        check_taxonomy({"taxonomy": "ffpp", "heads": {"race": ["a"]}}, "fairface4", "d")
    assert "ffpp" in caught.value.fix
    check_taxonomy({"taxonomy": "ffpp", "heads": {}}, "fairface4", "d")
    check_taxonomy({"taxonomy": "fairface4", "heads": {"race": ["a"]}}, "fairface4", "d")


@pytest.mark.parametrize(
    ("name", "size", "mean"),
    [
        ("resnet10t-narrow", 64, 0.5),
        ("xception", 299, 0.5),
        ("resnet50", 224, 0.485),
        ("clip_vit_b16", 224, 0.48145466),
        ("dinov2_vits14", 224, 0.485),
        ("efficientnet_b4", 380, 0.485),
        ("resnet18", 224, 0.485),
    ],
)
def test_input_size_and_normalisation_are_the_backbones(name: str, size: int, mean: float) -> None:
    assert input_size_of(name) == size
    assert normalisation_of(name)[0][0] == pytest.approx(mean)


def test_an_input_size_that_does_not_fit_is_refused_before_the_first_step(
    manifest: Path, tmp_path: Path
) -> None:
    with pytest.raises(
        UsageError, match="input_size = 32: does not fit backbone 'vit_tiny_patch16_224'"
    ) as caught:
        fit(manifest, tmp_path, backbone="vit_tiny_patch16_224", residual_input=False)
    assert "224" in caught.value.fix
