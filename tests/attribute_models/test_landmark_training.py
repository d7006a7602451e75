from __future__ import annotations

import json
import math

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch

from attribute_models.networks import LandmarkNetwork, load_network
from attribute_models.training.face_data import load_faces
from attribute_models.training.fitting import FitSettings
from attribute_models.training.landmarks import (
    errors_of,
    eye_distance,
    measure,
    points_of,
    train_landmarks,
    wing,
)
from manifests.errors import DataError
from manifests.mesh148 import MIRROR, five_of


def test_wing_is_the_paper_s_formula():
    at = torch.tensor([-0.3, -0.05, 0.0, 0.02, 0.0999, 0.1001, 1.0])
    w, e = 0.1, 0.02
    expected = [
        w * math.log(1 + abs(x) / e) if abs(x) < w else abs(x) - (w - w * math.log(1 + w / e))
        for x in at.tolist()
    ]
    np.testing.assert_allclose(wing(at), expected, rtol=1e-4, atol=1e-6)


def test_errors_are_percent_of_the_eye_distance():
    label = np.random.default_rng(0).uniform(20, 100, (3, 148, 2)).astype(np.float32)
    five = five_of(label)
    distance = np.hypot(*(five[:, 1] - five[:, 0]).T)
    np.testing.assert_allclose(eye_distance(torch.from_numpy(label)), distance, rtol=1e-5)
    moved = label + np.array([0.6, 0.8], np.float32)
    np.testing.assert_allclose(errors_of(moved, label), np.repeat(100 / distance[:, None], 148, 1), rtol=1e-3)


def test_measure_counts_every_cell(faces_file):
    data = load_faces([faces_file])
    assert data.skipped == {"unknown label": 1}
    figures = measure(data.mesh + np.float32(0.01), data)
    assert sum(cell["n"] for cell in figures["cells"].values()) == figures["n"] == 47
    weighted = sum(cell["n"] * cell["error_percent"] for cell in figures["cells"].values() if cell["n"]) / 47
    assert weighted == pytest.approx(figures["error_percent"])


def test_mirror_averaging_makes_a_mirror_symmetric_model():
    torch.manual_seed(0)
    network = LandmarkNetwork("resnet10t", 148, 32, squeeze=4).eval()
    images = np.random.default_rng(0).integers(0, 256, (2, 32, 32, 3), dtype=np.uint8)
    points = points_of(network, images, 32)
    mirrored = points_of(network, images[:, :, ::-1], 32)
    back = np.stack([1 - mirrored[:, MIRROR, 0], mirrored[:, MIRROR, 1]], -1)
    np.testing.assert_allclose(points, back, atol=1e-5)


def test_the_network_takes_other_sides_than_its_own():
    network = LandmarkNetwork("resnet10t", 148, 48, squeeze=4).eval()
    assert network(torch.zeros(2, 3, 32, 32)).shape == network(torch.zeros(2, 3, 48, 48)).shape == (2, 148, 2)


def test_training_from_file_to_weight(faces_file, tmp_path):
    settings = FitSettings(sizes=((32, 1),), batch=16, threads=1)
    measured = train_landmarks([faces_file], faces_file, tmp_path, settings, report=lambda line: None)
    assert json.loads((tmp_path / "measured.json").read_text()) == measured
    assert {"error_percent", "error_percent_from_48px", "cells", "groups", "failed"} <= measured.keys()
    config, network = load_network(tmp_path / "landmarks.safetensors", "landmarks")
    assert config["scheme"] == "mesh148"
    assert not any("layer4" in name for name in network.state_dict())
    data = load_faces([faces_file])
    predicted = points_of(network, data.images, 32) * 32
    # Half precision on disk moves points by far less than a pixel.
    assert measure(predicted, data)["error_percent"] == pytest.approx(measured["error_percent"], rel=0.01)


def test_faces_without_landmarks_are_refused(faces_file, tmp_path):
    bare = tmp_path / "bare.parquet"
    pq.write_table(pq.read_table(faces_file).drop_columns(["mesh148_x64"]), bare)
    with pytest.raises(DataError, match="mesh148_x64"):
        train_landmarks([bare], bare, tmp_path / "out", report=lambda line: None)
