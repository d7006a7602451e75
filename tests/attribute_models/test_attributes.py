from __future__ import annotations

import numpy as np
import pytest
import torch

from attribute_models import load_attribute_model, load_landmarker
from attribute_models.networks import AttributeNetwork, LandmarkNetwork, prepare
from attribute_models.training.attributes import HEADS
from attribute_models.weights_io import save_network
from manifests.errors import DataError, MissingError, UsageError
from manifests.taxonomy import get_taxonomy

TEMPERATURE = {"race": 1.5, "gender": 0.7, "age": 2.0}


@pytest.fixture(scope="module")
def attribute_file(tmp_path_factory):
    torch.manual_seed(0)
    network = AttributeNetwork("resnet10t", {head: len(names) for head, names in HEADS.items()})
    for head in network.heads.values():
        torch.nn.init.normal_(head.weight, std=0.5)
    path = tmp_path_factory.mktemp("weights") / "tiny.safetensors"
    save_network(
        path,
        network,
        {
            "kind": "attributes",
            "trunk": "resnet10t",
            "size": 32,
            "temperature": TEMPERATURE,
            "heads": {head: list(names) for head, names in HEADS.items()},
        },
    )
    return path


@pytest.fixture(scope="module")
def landmark_file(tmp_path_factory):
    torch.manual_seed(0)
    network = LandmarkNetwork("resnet10t", 148, 32)
    path = tmp_path_factory.mktemp("weights") / "points.safetensors"
    save_network(
        path,
        network,
        {
            "kind": "landmarks",
            "trunk": "resnet10t",
            "size": 32,
            "scheme": "mesh148",
            "points": 148,
        },
    )
    return path


@pytest.fixture(scope="module")
def images():
    return np.random.default_rng(0).integers(0, 256, (21, 40, 40, 3), dtype=np.uint8)


def test_probabilities_are_softmax_of_mean_logits_over_temperature(attribute_file, images):
    model = load_attribute_model(attribute_file)
    found = model.predict(images[:3])
    x = prepare(images[:3], 32)
    with torch.no_grad():
        views = [model.network(x), model.network(x.flip(3))]
    for head, names in model.classes.items():
        assert names == HEADS[head]
        logits = torch.stack([view[head] for view in views]).mean(0) / TEMPERATURE[head]
        np.testing.assert_allclose(found[head], logits.softmax(1), rtol=1e-3, atol=1e-5)
        assert found[head].dtype == np.float32
        np.testing.assert_allclose(found[head].sum(1), 1, atol=1e-5)


def test_a_row_depends_on_its_image_alone(attribute_file, landmark_file, images):
    model, landmarker = load_attribute_model(attribute_file), load_landmarker(landmark_file)
    whole, points = model.predict(images), landmarker.predict(images)
    for rows in ([20], [3, 20, 3], list(range(20, -1, -1))):
        part = model.predict(images[rows])
        for head in whole:
            assert whole[head][rows].tobytes() == part[head].tobytes()
        assert points[rows].tobytes() == landmarker.predict(images[rows]).tobytes()


def test_cells_are_sums_of_the_seven_races(attribute_file, images):
    model = load_attribute_model(attribute_file)
    found = model.predict(images)
    race, gender = model.predict_cells(images, "fairface4")
    names = list(model.classes["race"])
    assert get_taxonomy("fairface4").races[2] == "Asian"
    asian = found["race"][:, names.index("East Asian")] + found["race"][:, names.index("Southeast Asian")]
    np.testing.assert_allclose(race[:, 2], asian, rtol=1e-4)
    np.testing.assert_allclose(race.sum(1), 1, atol=1e-5)
    np.testing.assert_array_equal(gender, found["gender"])
    same, _ = model.predict_cells(images, get_taxonomy("fairface4"))
    np.testing.assert_array_equal(race, same)
    with pytest.raises(UsageError, match="monk3"):
        model.predict_cells(images, "monk3")


def test_features_are_what_the_heads_see(attribute_file, images):
    """The heads are linear, so the heads of averaged features are the averaged logits that `predict`
    calibrates.
    """
    model = load_attribute_model(str(attribute_file))
    features = model.features(images)
    assert features.shape == (len(images), model.network.trunk.num_features)
    for head, probabilities in model.predict(images).items():
        logits = model.network.heads[head](torch.from_numpy(features)) / model.temperature[head]
        np.testing.assert_allclose(torch.softmax(logits, 1).detach().numpy(), probabilities, atol=2e-5)
    np.testing.assert_array_equal(model.features(images[3:4]), features[3:4])
    assert model.features(images[:0]).shape == (0, features.shape[1])


def test_label_source_names_the_very_file(attribute_file):
    model = load_attribute_model(str(attribute_file))
    assert model.label_source == f"model:tiny@{model.weight.sha256[:8]}"
    assert len(model.weight.sha256) == 64


def test_landmarks_are_pixels_of_the_input(landmark_file, images):
    landmarker = load_landmarker(landmark_file)
    assert landmarker.scheme == "mesh148"
    points = landmarker.predict(images)
    doubled = landmarker.predict(images.repeat(2, 1).repeat(2, 2))
    assert points.shape == (21, 148, 2)
    assert points.dtype == np.float32
    np.testing.assert_allclose(doubled, points * 2, atol=2.0)


def test_no_image_gives_no_row(attribute_file, landmark_file):
    none = np.zeros((0, 64, 64, 3), np.uint8)
    assert load_attribute_model(attribute_file).predict(none)["age"].shape == (0, 9)
    assert load_landmarker(landmark_file).predict(none).shape == (0, 148, 2)


@pytest.mark.parametrize("wrong", [np.zeros((2, 8, 8, 3), np.float32), np.zeros((8, 8, 3), np.uint8)])
def test_other_arrays_are_refused(attribute_file, landmark_file, wrong):
    with pytest.raises(UsageError, match="cannot be read"):
        load_attribute_model(attribute_file).predict(wrong)
    with pytest.raises(UsageError, match="cannot be read"):
        load_landmarker(landmark_file).predict(wrong)


def test_files_that_cannot_be_used(attribute_file, landmark_file, tmp_path):
    with pytest.raises(DataError, match="not 'attributes'"):
        load_attribute_model(landmark_file)
    with pytest.raises(MissingError, match="neither a file nor a known name"):
        load_landmarker("fairforge-mesh149")
    truncated = tmp_path / "cut.safetensors"
    truncated.write_bytes(attribute_file.read_bytes()[:5000])
    with pytest.raises(DataError, match="is not a readable safetensors file"):
        load_attribute_model(truncated)
    torch.manual_seed(0)
    save_network(
        tmp_path / "odd.safetensors",
        LandmarkNetwork("resnet10t", 10, 32),
        {
            "kind": "landmarks",
            "trunk": "resnet10t",
            "size": 64,
            "scheme": "mesh148",
            "points": 148,
        },
    )
    with pytest.raises(DataError, match=r"odd\.safetensors"):
        load_landmarker(tmp_path / "odd.safetensors")
    save_network(
        tmp_path / "poor.safetensors", torch.nn.Linear(1, 1), {"kind": "attributes", "trunk": "resnet10t"}
    )
    with pytest.raises(DataError, match="lacks size, heads, temperature"):
        load_attribute_model(tmp_path / "poor.safetensors")


def test_devices(attribute_file):
    with pytest.raises(UsageError, match="device"):
        load_attribute_model(attribute_file, device="abacus")
    if torch.cuda.device_count() == 0:
        with pytest.raises(MissingError, match="cuda"):
            load_attribute_model(attribute_file, device="cuda")
