"""Detectors beside a trained one: what is added to its logit, how it is weighed, and what is refused."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from pydantic import ValidationError
from safetensors.torch import load_file

from detector.inference.checkpoints import load_network, read_checkpoint, save_checkpoint
from detector.inference.heatmaps import grad_cam
from detector.inference.onnx_export import export_onnx
from detector.inference.prediction import Detector, load_detector
from detector.models.architectures.beside import own_part, seen_by
from detector.models.network import build_network, mirrored_logits
from detector.models.network_config import NetworkConfig, Other
from detector.training.loop import train
from detector.training.settings import TrainSettings
from detector.training.stacking import fit_weights, put_beside, share_out
from manifests.errors import DataError, MissingError, UsageError
from manifests.seeding import rng_of
from tests.detector.detector_fixtures import TINY, to_come

OWN = NetworkConfig(backbone="test_resnet", input_size=32, heads={"gender": ("Male", "Female")}, mirror=True)
WIDE = NetworkConfig(
    backbone="test_resnet", input_size=48, mean=(0.4, 0.5, 0.6), std=(0.2, 0.3, 0.25), temperature=2.0
)


def beside(*others: tuple[float, NetworkConfig], own: float = 1.0, bias: float = 0.0) -> NetworkConfig:
    found = tuple(Other(name="o", sha256="", weight=w, config=config) for w, config in others)
    return OWN.model_copy(update={"architecture": "beside", "beside": found, "own_weight": own, "bias": bias})


def fit(manifest: Path, out: Path, **changes: Any) -> list[dict[str, Any]]:
    seen: list[dict[str, Any]] = []
    train(TrainSettings(**{**TINY, "epochs": 1, "batch": 16, **changes}), manifest, out, to_come(seen))
    return seen


def test_logits_are_added_by_their_weights_and_the_other_sees_its_own_units() -> None:
    alone, other = build_network(OWN, 1).eval(), build_network(WIDE, 2).eval()
    whole = build_network(beside((0.5, WIDE), own=0.75, bias=-0.25), 3)
    state = {**alone.state_dict(), **{f"others.0.{k}": v for k, v in other.state_dict().items()}}
    whole.load_state_dict(state)
    images = torch.randn(4, 3, 32, 32)
    with torch.inference_mode():
        own, seen = alone(images), other(seen_by(images, OWN, WIDE))
        out, trained = whole.eval()(images), whole.train()(images)
    expected = 0.75 * own["fake"] + 0.5 * seen["fake"] / 2.0 - 0.25
    torch.testing.assert_close(out["fake"], expected)
    torch.testing.assert_close(out["alone"], own["fake"])
    torch.testing.assert_close(out["gender"], own["gender"])
    assert "alone" not in trained
    config, part = own_part(whole.config, state)
    assert config == OWN
    assert part.keys() == alone.state_dict().keys()


def test_pictures_reach_the_other_in_its_units() -> None:
    grey = torch.full((1, 3, 32, 32), (128 / 255 - 0.5) / 0.5)
    seen = seen_by(grey, OWN, WIDE)
    assert seen.shape == (1, 3, 48, 48)
    expected = (128 / 255 - torch.tensor(WIDE.mean)) / torch.tensor(WIDE.std)
    torch.testing.assert_close(seen.mean((0, 2, 3)), expected)
    checks = torch.arange(4.0).repeat(16).reshape(1, 1, 8, 8).expand(1, 3, 8, 8)
    small = seen_by(checks, OWN, OWN.model_copy(update={"input_size": 4}))
    torch.testing.assert_close(small[0, 0, 0], torch.tensor([0.5, 2.5, 0.5, 2.5]))


def test_weights_are_the_likeliest_ones() -> None:
    rng = rng_of(5, "stacking")
    labels = np.arange(6000) % 2
    logits = np.stack([2.0 * labels + rng.standard_normal(6000), 30 + labels + rng.standard_normal(6000)], 1)
    weights, bias = fit_weights(logits, labels)
    assert weights == pytest.approx(
        [2.0, 1.0], rel=0.08
    )  # of normal classes with unit deviation, the distances
    assert bias == pytest.approx(-(2.0 * 1.0 + 1.0 * 30.5), rel=0.08)


def test_what_contradicts_or_says_nothing_is_left_out() -> None:
    rng = rng_of(6, "stacking")
    labels = np.arange(400) % 2
    logits = np.stack([labels + rng.standard_normal(400), -labels.astype(float), np.ones(400)], 1)
    weights, bias = fit_weights(logits, labels)
    assert weights[0] > 0
    assert weights[1:].tolist() == [0.0, 0.0]
    assert np.isfinite(bias)
    perfect, bias = fit_weights(np.where(labels, 1.0, -1.0)[:, None], labels)
    assert 0 < perfect[0] < 20
    assert abs(bias) < 0.1
    with pytest.raises(UsageError, match="needs real and fake"):
        fit_weights(logits, np.zeros(400, int))


def test_others_get_the_largest_share_that_validation_does_not_tell_from_the_likeliest() -> None:
    rng = rng_of(7, "stacking")
    labels = np.arange(300) % 2
    own = 2.5 * labels + rng.standard_normal(300)
    for strength, least, most in ((1.0, 0.3, 0.75), (2.5, 0.5, 1.0), (-1.0, 0.0, 0.0)):
        logits = np.stack([10 * own, 0.1 * (strength * labels + rng.standard_normal(300))], 1)
        found = share_out(logits, labels)
        assert least <= found.share <= most
        assert found.likeliest_share <= found.share
        assert (found.weights >= 0).all()
        z = logits @ found.weights + found.bias
        alone = share_out(np.stack([10 * own, np.zeros(300)], 1), labels)
        assert alone.share == 0
        assert np.logaddexp(0, np.where(labels, -z, z)).mean() < 0.69
    unit = found.weights * logits.std(0)
    assert unit[1] == 0
    assert unit[0] > 0


def test_a_training_ends_beside_others_and_repeats_itself(manifest: Path, tmp_path: Path) -> None:
    fit(manifest, tmp_path / "first", heads=("gender",))
    fit(manifest, tmp_path / "alone", seed=7)
    names = [str(tmp_path / "first")]
    lines = fit(manifest, tmp_path / "both", seed=7, beside=names)
    assert "beside first: share" in lines[-1]["text"]
    facts = json.loads((tmp_path / "both" / "training.json").read_text())
    assert facts["stacking"]["names"] == ["first"]
    assert len(facts["stacking"]["weights"]) == 2
    assert (
        facts["sha256"]["beside.0"]
        == json.loads((tmp_path / "first" / "training.json").read_text())["sha256"]["checkpoint"]
    )
    whole = load_file(tmp_path / "both" / "checkpoint.safetensors")
    for name, value in load_file(tmp_path / "alone" / "checkpoint.safetensors").items():
        assert torch.equal(whole[name], value), "its own part is trained as if nothing were beside it"
    fit(manifest, tmp_path / "again", seed=7, beside=names)
    one, other = ((tmp_path / n / "checkpoint.safetensors").read_bytes() for n in ("both", "again"))
    assert one == other
    assert not fit(manifest, tmp_path / "again", seed=7, beside=names), "it is done"
    network, _ = load_network(tmp_path / "both" / "checkpoint.safetensors")
    images = torch.randn(3, 3, network.config.input_size, network.config.input_size)
    logits = mirrored_logits(network, images)
    assert logits["fake"].shape == (3,)
    pictures = rng_of(1, "pictures").integers(0, 256, (3, 40, 40, 3), np.uint8)
    assert (load_detector(tmp_path / "both").predict(pictures) > 0).all()


def test_another_training_goes_on_from_the_own_part(manifest: Path, tmp_path: Path) -> None:
    fit(manifest, tmp_path / "first")
    fit(manifest, tmp_path / "both", beside=[str(tmp_path / "first")])
    fit(manifest, tmp_path / "next", start=str(tmp_path / "both"), lr=1e-9, ema=0.0)
    before, after = (load_file(tmp_path / n / "checkpoint.safetensors") for n in ("both", "next"))
    torch.testing.assert_close(after["fake.weight"], before["fake.weight"], atol=1e-6, rtol=0)
    assert not any(name.startswith("others.") for name in after)
    fit(manifest, tmp_path / "third", beside=[str(tmp_path / "both")])
    config, _, _ = read_checkpoint(tmp_path / "third" / "checkpoint.safetensors")
    assert [other.config.architecture for other in config.beside] == ["single"], "of it, its own part alone"


def test_what_cannot_stand_beside_is_said_before_the_first_step(manifest: Path, tmp_path: Path) -> None:
    with pytest.raises(MissingError):
        fit(manifest, tmp_path / "a", beside=["no-such-detector"])
    with pytest.raises(UsageError, match="does not go with the network 'pg-fdd'"):
        put_beside(OWN.model_copy(update={"architecture": "pg-fdd"}), ("first",))
    assert not (tmp_path / "a" / "state.pt").exists()
    with pytest.raises(ValidationError):
        TrainSettings(**{**TINY, "beside": [f"d{k}" for k in range(9)]})
    with pytest.raises(ValidationError, match="name each one once"):
        TrainSettings(**{**TINY, "beside": ["d", "d"]})


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"architecture": "single"}, "has no networks beside it"),
        ({"beside": [{"weight": -1}]}, "greater than or equal to 0"),
        ({"beside": [{"config": {"architecture": "beside"}}]}, "may have none beside itself"),
        ({"own_weight": -0.5}, "greater than or equal to 0"),
    ],
)
def test_a_header_that_no_training_writes_is_refused(tmp_path: Path, changes: Any, message: str) -> None:
    whole = beside((1.0, WIDE))
    network = build_network(whole, 1)
    header = whole.model_dump(mode="json")
    for key, value in changes.items():
        if key == "beside":
            for name, inner in value[0].items():
                old = header["beside"][0][name]
                header["beside"][0][name] = {**old, **inner} if isinstance(inner, dict) else inner
        else:
            header[key] = value
    file = tmp_path / "d.safetensors"

    class Said:
        def model_dump(self, mode: str) -> dict[str, Any]:
            return header

    save_checkpoint(file, Said(), network.state_dict(), {})  # type: ignore[arg-type]
    with pytest.raises(DataError, match=message):
        load_network(file)


def written(folder: Path) -> Path:
    config = beside((0.5, WIDE), own=0.75)
    save_checkpoint(folder / "d.safetensors", config, build_network(config, 4).state_dict(), {})
    return folder / "d.safetensors"


def test_a_heat_map_is_of_its_own_trunk(tmp_path: Path) -> None:
    model = load_detector(written(tmp_path))
    images = rng_of(2, "pictures").integers(0, 256, (2, 32, 32, 3), np.uint8)
    maps = grad_cam(model, images)
    config, state = own_part(model.network.config, dict(model.network.state_dict()))
    alone = build_network(config, 1)
    alone.load_state_dict(state)
    np.testing.assert_allclose(maps, grad_cam(Detector(alone, {}), images), atol=1e-4)


def test_it_is_written_as_onnx(tmp_path: Path) -> None:
    onnxruntime = pytest.importorskip("onnxruntime")
    pytest.importorskip("onnxscript")
    model = load_detector(written(tmp_path))
    export_onnx(model, tmp_path / "d.onnx")
    session = onnxruntime.InferenceSession(str(tmp_path / "d.onnx"), providers=["CPUExecutionProvider"])
    images = rng_of(3, "pictures").integers(0, 256, (5, 32, 32, 3), np.uint8)
    found = session.run(["fake"], {"images": images})[0]
    assert np.abs(found - model.predict(images)).max() < 1e-4
