"""Safetensors whose header describes another network, or whose values are no numbers: refused before anything
is built.
"""

import json
import struct

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from attribute_models.networks import AttributeNetwork
from attribute_models.networks import load_network as load_face_network
from attribute_models.user_weights import read_state as read_user_state
from attribute_models.weights_io import save_network
from detector import load_detector
from detector.inference.checkpoints import save_checkpoint
from detector.models.network import build_network
from detector.models.network_config import NetworkConfig
from detector.models.starting_weights import read_weights
from generators import load_generator
from generators.cells.directions import Directions, read_directions
from generators.cells.model import CellModel
from manifests.errors import DataError
from nn.blueprint import check_blueprint
from nn.safetensors_files import LONGEST_HEADER, read_arrays, read_metadata, read_tensors

CONFIG = NetworkConfig(backbone="resnet10t-narrow", input_size=32, heads={"race": ("White", "Black")})
READERS = {
    "detector": load_detector,
    "face model": lambda path: load_face_network(path, "attributes"),
    "generator": load_generator,
    "cells": CellModel.load,
    "directions": read_directions,
    "weights": read_weights,
    "user's weights": read_user_state,
    "tensors": read_tensors,
    "arrays": read_arrays,
}


@pytest.fixture(scope="module")
def detector_file(tmp_path_factory):
    path = tmp_path_factory.mktemp("detector") / "d.safetensors"
    save_checkpoint(path, CONFIG, build_network(CONFIG, 0).state_dict(), {})
    return path


def with_header(source, target, **changes):
    """A copy whose configuration has other values; None takes one away."""
    save_file(load_file(source), target, metadata={"config": json.dumps({**header_of(source), **changes})})
    return target


def header_of(path):
    return json.loads(read_metadata(path)["config"])


def test_the_file_itself_is_read(detector_file):
    assert load_detector(detector_file).input_size == 32


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"input_size": 100_000}, "input_size"),
        ({"input_size": 0}, "input_size"),
        ({"backbone": "resnet152"}, "do not fit its header"),
        ({"heads": {"race": ["c"] * 200_000}}, "do not fit its header"),
        ({"heads": {"a.b": ["x", "y"]}}, "describes no network"),
        ({"std": [0.0, 0.5, 0.5]}, "std"),
        ({"mean": [float("inf"), 0.5, 0.5]}, "mean"),
        ({"mask_decoder": True, "backbone": "coat_tiny"}, "describes no network|do not fit"),
        ({"residual_input": True}, "do not fit its header"),
    ],
    ids=str,
)
def test_headers_of_detectors(detector_file, tmp_path, changes, words):
    with pytest.raises(DataError, match=words):
        load_detector(with_header(detector_file, tmp_path / "d.safetensors", **changes))


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_weights_that_are_no_numbers(detector_file, tmp_path, value):
    state = load_file(detector_file)
    state["trunk.conv1.0.weight"].view(-1)[3] = value
    path = tmp_path / "d.safetensors"
    save_file(state, path, metadata=read_metadata(detector_file))
    for read in (load_detector, read_weights, read_user_state, read_tensors, read_arrays):
        with pytest.raises(DataError, match="not finite"):
            read(path)
    torch.save(state, tmp_path / "d.pt")
    for read in (read_weights, read_user_state):
        with pytest.raises(DataError, match="not finite"):
            read(tmp_path / "d.pt")


@pytest.mark.parametrize("name", READERS)
def test_headers_that_are_none(tmp_path, name):
    path = tmp_path / "x.safetensors"
    for data in (
        b"",
        b"\xff" * 7,
        struct.pack("<Q", 1 << 40),
        struct.pack("<Q", LONGEST_HEADER + 1) + b"{}",
        struct.pack("<Q", 4) + b"[" * 4,
        struct.pack("<Q", 2) + b"{}",
    ):
        path.write_bytes(data)
        if (
            name in ("tensors", "arrays", "user's weights")
            and data.endswith(b"{}")
            and len(data) == 10
            and data[0] == 2
        ):
            continue  # a file without tensors
        with pytest.raises(DataError, match=r"x\.safetensors"):
            READERS[name](path)


def face_file(path, **changes):
    config = {
        "kind": "attributes",
        "trunk": "test_resnet",
        "size": 32,
        "heads": {"race": ["A", "B"]},
        "temperature": {"race": 1.0},
    }
    save_network(path, AttributeNetwork("test_resnet", {"race": 2}), {**config, **changes})
    return path


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"size": 100_000}, "size"),
        ({"size": "x"}, "size"),
        ({"trunk": "hf-hub:someone/something"}, "timm has no model"),
        ({"trunk": ["x"]}, "timm has no model"),
        ({"trunk": "resnet50"}, "do not fit"),
        ({"heads": [1]}, "heads"),
        ({"heads": {"race": 5}}, "heads"),
        ({"temperature": {}}, "temperature"),
        ({"temperature": {"race": 0}}, "temperature"),
    ],
    ids=str,
)
def test_headers_of_face_models(tmp_path, changes, words):
    with pytest.raises(DataError, match=words):
        load_face_network(face_file(tmp_path / "f.safetensors", **changes), "attributes")
    assert load_face_network(face_file(tmp_path / "g.safetensors"), "attributes")[0]["size"] == 32


def test_arrays_of_no_numbers(tmp_path):
    made = Directions(
        ("smile",), np.zeros(4), np.eye(4), np.eye(4), np.full((1, 4), np.nan), (0.5,), "00", {}
    )
    made.save(tmp_path / "x.safetensors")
    with pytest.raises(DataError, match="not finite"):
        read_directions(tmp_path / "x.safetensors")


def test_a_network_that_cannot_be_built_is_the_files_fault():
    def broken():
        raise KeyError("parallel_blocks")

    with pytest.raises(DataError, match="describes no network that can be built"):
        check_blueprint(broken, {}, "f", "fetch it again")
    with pytest.raises(DataError, match=r"weight is missing; bias is missing; x is unknown"):
        check_blueprint(lambda: torch.nn.Linear(10**6, 10**6), {"x": torch.ones(1)}, "f", "fetch it again")
