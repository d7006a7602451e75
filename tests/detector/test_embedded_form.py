"""Half precision, temperature and names of detectors: what is written, what is read, and that scores stay."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from detector.inference.calibration import at_temperature, cross_fitted, figures, logit, temperature_of
from detector.inference.checkpoints import find_detector, read_checkpoint, save_checkpoint
from detector.inference.prediction import load_detector
from detector.models.network import build_network
from detector.models.network_config import NetworkConfig
from manifests.errors import DataError, MissingError, UsageError
from nn.half_precision import BULK, half_precision
from tests.detector.detector_fixtures import picture

CONFIG = NetworkConfig(backbone="test_resnet", input_size=32, mirror=True, heads={"race": ("a", "b")})


@pytest.fixture(autouse=True)
def no_users_weights(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FAIRFORGE_WEIGHTS", str(tmp_path / "weights"))


def saved(path: Path, config: NetworkConfig = CONFIG, state: Any = None) -> Path:
    network = build_network(CONFIG, 2)
    with torch.no_grad():
        network.fake.weight.mul_(20)
        for module in network.modules():
            if isinstance(module, torch.nn.BatchNorm2d):
                module.weight.fill_(1)  # timm starts residual branches at 0, where their weights say nothing
    save_checkpoint(path, config, state or network.state_dict(), {"taxonomy": "none"})
    return path


def some(count: int = 40) -> np.ndarray:
    return np.stack([picture(i, i % 2 == 0) for i in range(count)])


def test_half_precision_is_stored_and_read_as_float32_with_the_same_scores(tmp_path: Path) -> None:
    whole = saved(tmp_path / "whole.safetensors")
    config, header, state = read_checkpoint(whole)
    small = half_precision(state)
    halved = {name for name, value in small.items() if value.dtype == torch.float16}
    assert halved == {
        name for name, value in state.items() if value.is_floating_point() and value.numel() >= BULK
    }
    assert halved
    save_checkpoint(tmp_path / "half.safetensors", config, small, header)
    again = read_checkpoint(tmp_path / "half.safetensors")
    assert again[:2] == (config, header)
    assert {value.dtype for value in again[2].values()} <= {torch.float32, torch.int64}
    for name in state.keys() - halved:
        assert torch.equal(again[2][name], state[name])
    saved_bytes = 2 * sum(state[name].numel() for name in halved)
    assert saved_bytes > 0.2 * whole.stat().st_size
    assert (tmp_path / "half.safetensors").stat().st_size == pytest.approx(
        whole.stat().st_size - saved_bytes, abs=512
    )
    images = some()
    before, after = (load_detector(file).predict(images) for file in (whole, tmp_path / "half.safetensors"))
    assert np.ptp(before) > 0.1
    assert 0 < np.abs(before - after).max() < 1e-3


def test_weights_too_large_for_half_precision_are_refused() -> None:
    with pytest.raises(DataError, match=r"big do not fit|big: do not fit"):
        half_precision({"big": torch.full((BULK,), 1e6)})
    assert half_precision({"small": torch.tensor([1e6])})["small"].dtype == torch.float32


def test_temperature_of_the_header_is_applied_to_the_fake_score_alone(tmp_path: Path) -> None:
    one = load_detector(saved(tmp_path / "a")).predict_all(some())
    two = load_detector(saved(tmp_path / "b", CONFIG.model_copy(update={"temperature": 2.5}))).predict_all(
        some()
    )
    np.testing.assert_allclose(two["fake"], at_temperature(one["fake"], 2.5), atol=1e-6)
    assert np.abs(two["fake"] - one["fake"]).max() > 0.01
    np.testing.assert_array_equal(two["race"], one["race"])


@pytest.mark.parametrize("value", [0, -1, "NaN", "Infinity", "hot", None])
def test_other_temperatures_are_refused(tmp_path: Path, value: Any) -> None:
    from safetensors.torch import save_file

    header = {**CONFIG.model_dump(mode="json"), "temperature": value}
    save_file({"a": torch.zeros(1)}, tmp_path / "d", {"config": json.dumps(header)})
    with pytest.raises(DataError, match="header"):
        read_checkpoint(tmp_path / "d")


def overconfident(n: int = 4000, factor: float = 3.0) -> tuple[list[int], list[float]]:
    """Labels drawn by probabilities, whose logits are then blown up; a quarter real."""
    rng = np.random.default_rng(0)
    label = (np.arange(n) % 4 > 0).astype(int)
    honest = np.where(label == 1, rng.normal(1, np.sqrt(2), n), rng.normal(-1, np.sqrt(2), n))
    return label.tolist(), (1 / (1 + np.exp(-factor * honest))).tolist()


def test_the_temperature_undoes_overconfidence_whatever_the_share_of_fakes() -> None:
    label, prob = overconfident()
    found = temperature_of(label, prob)
    assert found == pytest.approx(3.0, rel=0.06)
    before, after = figures(label, prob), figures(label, at_temperature(prob, found))
    assert after["nll"] < before["nll"]
    assert before["ece"] > 0.1
    assert after["ece"] < 0.03
    for other in (0.9, 1.1):
        assert figures(label, at_temperature(prob, other * found))["nll"] > after["nll"]
    np.testing.assert_allclose(cross_fitted(label, prob), at_temperature(prob, found), atol=0.02)


def test_probabilities_of_zero_and_one_have_finite_logits() -> None:
    assert np.isfinite(logit([0.0, 1.0])).all()
    assert np.isfinite(temperature_of([0, 1, 0, 1], [0.0, 1.0, 1.0, 0.0]))


@pytest.mark.parametrize("label", [[0, 0, 0], [1, 1, 1]])
def test_one_class_alone_cannot_be_calibrated(label: list[int]) -> None:
    with pytest.raises(UsageError, match="real and fake"):
        temperature_of(label, [0.1, 0.2, 0.3])


def test_a_detector_is_called_by_name_else_by_its_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    file = tmp_path / "lab" / "detector" / "checkpoint.safetensors"
    file.parent.mkdir(parents=True)
    saved(file)
    for named in (file, file.parent, str(file.parent), "lab/detector"):
        found = find_detector(named)
        assert (found.name, found.path.resolve()) == ("lab", file)
    folder = tmp_path / "weights"
    folder.mkdir()
    saved(folder / "mine.safetensors")
    sha = find_detector(folder / "mine.safetensors").sha256
    (folder / "weights.toml").write_text(
        f'[mine]\nfile = "mine.safetensors"\nsha256 = "{sha}"\nkind = "detector"\n'
    )
    (tmp_path / "mine").mkdir()  # a folder of pictures, say, hides nothing
    assert find_detector("mine").path == folder / "mine.safetensors"
    assert find_detector(Path("mine")).name == "mine"
    with pytest.raises(MissingError, match="mine"):
        find_detector("min")


def test_without_the_embedded_detector_its_name_says_how_to_get_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("detector.inference.checkpoints.catalogue", lambda kind: {})
    with pytest.raises(MissingError, match="not in this installation") as caught:
        find_detector("photographs")
    assert "weights embed" in caught.value.fix
    assert caught.value.exit_code == 3
