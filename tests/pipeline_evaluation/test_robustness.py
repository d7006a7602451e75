"""The robustness sweep: perturbations by what they do to pictures, and a detector that only one of them can
fool.
"""

import json

import numpy as np
import pytest

from manifests.errors import DataError, UsageError
from pipeline.__main__ import main
from pipeline.commands.evaluate import robustness
from pipeline.commands.evaluate.perturbations import PERTURBATIONS, parse_perturbations
from tests.manifests.manifest_rows import drawn, drawn_set


def sharpness(image):
    return float(np.abs(np.diff(image.astype(float), axis=1)).mean())


class Bright:
    """Calls bright pictures fake."""

    input_size = 16

    def predict(self, images):
        return (images.mean((1, 2, 3)) / 255).astype(np.float32)


@pytest.fixture(scope="module")
def dataset(tmp_path_factory):
    folder = tmp_path_factory.mktemp("set")
    drawn_set(
        folder,
        per_cell=3,
        size=24,
        fake=lambda image, _: ((image * 0.4 + 150).clip(0, 255).astype(np.uint8), "jpeg", 90),
    )
    return folder


@pytest.mark.parametrize("name", PERTURBATIONS)
def test_every_perturbation_keeps_shape_and_does_more_with_strength(name):
    image = drawn(np.random.default_rng(4), 32)
    changes = []
    for strength in PERTURBATIONS[name].strengths:
        made = PERTURBATIONS[name].apply(image, strength, "id")
        assert (made.shape, made.dtype) == (image.shape, np.uint8)
        assert np.array_equal(made, PERTURBATIONS[name].apply(image, strength, "id"))
        changes.append(np.abs(made.astype(float) - image).mean())
    assert min(changes) > 0
    if name != "brightness":
        assert changes == sorted(changes)


def test_what_they_do():
    image = drawn(np.random.default_rng(5), 32)
    assert sharpness(PERTURBATIONS["blur"].apply(image, 2, "a")) < sharpness(image) / 2
    assert sharpness(PERTURBATIONS["resize"].apply(image, 0.25, "a")) < sharpness(image) / 2
    assert PERTURBATIONS["brightness"].apply(image, 0.5, "a").mean() == pytest.approx(
        image.mean() / 2, abs=0.5
    )
    grey = np.full((64, 64, 3), 128, np.uint8)
    noisy = PERTURBATIONS["noise"].apply(grey, 10, "a")
    assert noisy.astype(float).std() == pytest.approx(10, rel=0.05)
    assert not np.array_equal(noisy, PERTURBATIONS["noise"].apply(grey, 10, "b"))


def test_darkness_fools_a_detector_of_brightness_and_blur_does_not(dataset):
    value = robustness.measure(Bright(), dataset, "test", "brightness:0.3,blur:1", 0.55, 1, 0, 0)
    assert value["clean"]["utility"]["TPR"] == 1
    assert value["clean"]["utility"]["FPR"] < 0.5
    (dark,), (blurred,) = (value["perturbations"][name]["points"] for name in ("brightness", "blur"))
    assert (dark["strength"], dark["utility"]["TPR"]) == (0.3, 0)
    assert blurred["utility"]["TPR"] == 1
    assert set(value["clean"]["gaps"]) == {"race", "gender", "cell"}
    lines = robustness.as_markdown(value).splitlines()
    assert len([line for line in lines if line.startswith("|")]) == 2 + 3
    assert any(line.startswith("| brightness (factor) | 0.3 |") for line in lines)


def test_batches_do_not_change_scores_and_unreadable_images_are_named(dataset, tmp_path, monkeypatch):
    import shutil

    folder = tmp_path / "set"
    shutil.copytree(dataset, folder)
    whole = robustness.measure(Bright(), folder, None, "noise", 0.5, 1, 0, 0)
    monkeypatch.setattr(robustness, "BATCH", 7)
    assert robustness.measure(Bright(), folder, None, "noise", 0.5, 1, 0, 0) == whole
    victim = sorted((folder / "images").iterdir())[0]
    victim.write_bytes(b"broken")
    found = robustness.measure(Bright(), folder, None, "noise:2", 0.5, 1, 0, 0)
    assert found["clean"]["utility"]["n"] == whole["clean"]["utility"]["n"] - 1
    assert len(found["warnings"]) == 1
    assert victim.stem in found["warnings"][0]
    with pytest.raises(DataError, match="split nowhere"):
        robustness.measure(Bright(), folder, "nowhere", "noise", 0.5, 1, 0, 0)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("jpg", "did you mean jpeg"),
        ("blur:x", "out of range"),
        ("jpeg:200", "out of range"),
        ("noise:0", "out of range"),
    ],
)
def test_wrong_perturbations(text, words):
    with pytest.raises(UsageError) as caught:
        parse_perturbations(text)
    assert words in caught.value.why


def test_command_with_a_real_checkpoint(dataset, tmp_path, capsys):
    from detector.inference.checkpoints import save_checkpoint
    from detector.models.network import build_network
    from detector.models.network_config import NetworkConfig

    config = NetworkConfig(backbone="test_resnet", input_size=32)
    (tmp_path / "d").mkdir()
    save_checkpoint(
        tmp_path / "d" / "checkpoint.safetensors", config, build_network(config, 0).state_dict(), {}
    )
    words = [
        "robustness",
        "--checkpoint",
        str(tmp_path / "d"),
        "--manifest",
        str(dataset),
        "--perturb",
        "jpeg:50",
        "--out",
        str(tmp_path / "o"),
        "--json",
    ]
    assert main(words) == 0
    value = json.loads(capsys.readouterr().out)
    assert value == json.loads((tmp_path / "o" / "robustness.json").read_text())
    assert value["clean"]["utility"]["n"] == 24
    assert (tmp_path / "o" / "robustness.md").is_file()
