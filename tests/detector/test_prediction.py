"""Prediction: the same bits in any company, any input size, and files that are no detector."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from detector.inference.checkpoints import save_checkpoint
from detector.inference.prediction import MICRO_BATCH, Detector, load_detector
from detector.models.network import build_network, normalise
from detector.models.network_config import NetworkConfig
from manifests.errors import DataError, MissingError, UsageError
from tests.detector.detector_fixtures import picture

CONFIG = NetworkConfig(
    backbone="test_resnet", input_size=32, heads={"race": ("a", "b", "c"), "gender": ("m", "f")}
)


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("checkpoint") / "checkpoint.safetensors"
    save_checkpoint(path, CONFIG, build_network(CONFIG, 2).state_dict(), {"taxonomy": "none"})
    return path


def some(count: int) -> np.ndarray:
    return np.stack([picture(i, i % 2 == 0) for i in range(count)])


def test_a_score_has_the_same_bits_in_any_company(checkpoint: Path) -> None:
    detector, images = load_detector(checkpoint), some(MICRO_BATCH + 5)
    together = detector.predict(images)
    alone = np.concatenate([detector.predict(images[i : i + 1]) for i in range(len(images))])
    backwards = detector.predict(images[::-1])[::-1]
    assert together.dtype == np.float32
    assert together.shape == (len(images),)
    assert np.array_equal(together, alone)
    assert np.array_equal(together, backwards)
    assert ((together >= 0) & (together <= 1)).all()


def test_outputs_are_those_of_the_network(checkpoint: Path) -> None:
    images, network = some(4), build_network(CONFIG, 2).eval()
    with torch.no_grad():
        out = network(normalise(torch.from_numpy(images), CONFIG))
    found = load_detector(checkpoint.parent).predict_all(images)
    np.testing.assert_allclose(found["fake"], 1 / (1 + np.exp(-out["fake"].numpy())), atol=1e-6)
    raised = np.exp(out["race"].numpy())
    np.testing.assert_allclose(found["race"], raised / raised.sum(1, keepdims=True), atol=1e-6)
    assert found["gender"].shape == (4, 2)


def test_mirror_images_score_alike_where_the_header_says_so(tmp_path: Path) -> None:
    config = CONFIG.model_copy(update={"mirror": True})
    save_checkpoint(tmp_path / "m", config, build_network(config, 2).state_dict(), {})
    images, plain = some(6), Detector(build_network(CONFIG, 2), {})
    found = load_detector(tmp_path / "m").predict_all(images)
    one, two = (plain.predict_all(v) for v in (images, images[:, :, ::-1]))
    logits = sum(np.log(v["fake"] / (1 - v["fake"])) for v in (one, two)) / 2
    np.testing.assert_allclose(found["fake"], 1 / (1 + np.exp(-logits)), atol=1e-6)
    race = np.sqrt(one["race"] * two["race"])
    np.testing.assert_allclose(found["race"], race / race.sum(1, keepdims=True), atol=1e-6)


def test_any_size_is_resampled(checkpoint: Path) -> None:
    detector = load_detector(checkpoint)
    wide = np.random.default_rng(0).integers(0, 256, (3, 50, 80, 3), dtype=np.uint8)
    small = np.stack([np.array(Image.fromarray(i).resize((32, 32), Image.Resampling.LANCZOS)) for i in wide])
    assert np.array_equal(detector.predict(wide), detector.predict(small))
    assert detector.predict(np.zeros((0, 32, 32, 3), np.uint8)).shape == (0,)
    assert detector.predict_all(np.zeros((0, 9, 9, 3), np.uint8))["race"].shape == (0, 3)


@pytest.mark.parametrize("images", [np.zeros((2, 32, 32, 3), np.float32), np.zeros((32, 32, 3), np.uint8)])
def test_other_arrays_are_refused(checkpoint: Path, images: np.ndarray) -> None:
    with pytest.raises(UsageError, match="are not uint8"):
        load_detector(checkpoint).predict(images)


def test_the_same_content_gives_the_same_bytes(checkpoint: Path, tmp_path: Path) -> None:
    again = tmp_path / "again.safetensors"
    save_checkpoint(again, CONFIG, build_network(CONFIG, 2).state_dict(), {"taxonomy": "none"})
    assert again.read_bytes() == checkpoint.read_bytes()


def test_files_that_are_no_detector(checkpoint: Path, tmp_path: Path) -> None:
    with pytest.raises(MissingError):
        load_detector(tmp_path / "nothing.safetensors")
    with pytest.raises(MissingError):
        load_detector("no-such-detector")
    data = checkpoint.read_bytes()
    for name, content in (("cut", data[: len(data) // 2]), ("text", b"hello"), ("empty", b"")):
        (tmp_path / name).write_bytes(content)
        with pytest.raises(DataError, match=r"readable safetensors file"):
            load_detector(tmp_path / name)
    from safetensors.torch import save_file

    save_file({"a": torch.zeros(1)}, tmp_path / "other")
    with pytest.raises(DataError, match="not a detector"):
        load_detector(tmp_path / "other")
    save_checkpoint(tmp_path / "short", CONFIG, {"fake.bias": torch.zeros(1)}, {})
    with pytest.raises(DataError, match="do not fit"):
        load_detector(tmp_path / "short")


def test_classes_and_size_come_from_the_header(checkpoint: Path) -> None:
    detector = load_detector(str(checkpoint))
    assert isinstance(detector, Detector)
    assert detector.classes == {"race": ("a", "b", "c"), "gender": ("m", "f")}
    assert detector.input_size == 32
    assert detector.header["taxonomy"] == "none"


def test_importing_the_package_brings_nothing_heavy() -> None:
    heavy = ("torch", "timm", "cv2", "sklearn")
    program = (
        f"import sys, detector, detector.training.settings; print([m for m in {heavy} if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
