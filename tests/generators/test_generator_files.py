"""Generators on disk: the catalogue, safetensors round trips, and files that cannot be used."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import safetensors.torch
import torch

from generators import load_generator
from generators.checkpoints.files import load_checkpoint, save_generator
from manifests.errors import DataError, MissingError, UsageError
from manifests.weights import find_weight
from nn.safetensors_files import read_metadata


def test_catalogue_has_the_starter_with_licence_and_digest():
    weight = find_weight("starter64", "generator")
    assert weight.path.stat().st_size < 8_000_000
    assert "CC BY 4.0" in weight.data
    assert "Apache-2.0" in weight.licence
    assert weight.recipe
    generator = load_generator("starter64")
    assert (generator.name, generator.sha256) == ("starter64", weight.sha256)
    assert (generator.z_dim, generator.w_dim, generator.c_dim) == (128, 128, 0)
    assert (generator.num_ws, generator.resolution) == (10, 64)


def test_round_trip_gives_the_same_bytes_and_images(tmp_path):
    generator = load_generator("starter64")
    one, two = tmp_path / "one.safetensors", tmp_path / "two.safetensors"
    extra = {"data": "FairFace", "kimg_total": "319", "note": "é"}
    save_generator(one, generator, extra)
    again = load_generator(one)
    save_generator(two, again, dict(reversed(extra.items())))
    assert one.read_bytes() == two.read_bytes()
    assert read_metadata(one)["note"] == "é"
    z = np.ones((1, 128), np.float32)
    assert torch.equal(again(z), generator(z))


def test_bad_files_are_named(tmp_path):
    good = find_weight("starter64", "generator").path
    data = good.read_bytes()
    bad = tmp_path / "bad.safetensors"
    for cut in (0, 5, 100, len(data) - 1):
        bad.write_bytes(data[:cut])
        with pytest.raises(DataError, match=r"bad\.safetensors"):
            load_generator(bad)
    tensors = {"x": torch.zeros(1)}
    headers = {
        "no generator config": None,
        "not JSON": {"config": "{"},
        "family 'stylegan3'": {"config": "{}", "family": "stylegan3"},
        "z_dim: Field required": {"config": "{}"},
        "power of two": {"config": json.dumps({"z_dim": 1, "w_dim": 1, "img_resolution": 48})},
        "mapping.fc0.weight|synthesis.b4.const": {
            "config": json.dumps({"z_dim": 1, "w_dim": 1, "img_resolution": 8})
        },
    }
    for message, header in headers.items():
        safetensors.torch.save_file(tensors, bad, metadata=header)
        with pytest.raises(DataError, match=message):
            load_generator(bad)


def test_unknown_names_suffixes_and_devices(tmp_path):
    with pytest.raises(MissingError, match="did you mean starter64"):
        load_generator("starter46")
    with pytest.raises(MissingError):
        load_checkpoint(tmp_path / "absent.safetensors")
    other = tmp_path / "weights.zip"
    other.write_bytes(b"x")
    with pytest.raises(UsageError, match=r"suffix '\.zip'"):
        load_generator(other)
    with pytest.raises(UsageError, match="device 'tpu9x'"):
        load_generator("starter64", "tpu9x")
    with pytest.raises(MissingError, match="cuda:99"):
        load_generator("starter64", "cuda:99")


def test_importing_the_package_is_light():
    heavy = ("torch", "sklearn", "scipy", "safetensors")
    code = f"import generators, sys; print([m for m in {heavy} if m in sys.modules])"
    out = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        check=True,
        cwd=Path(__file__).parents[2],
    )
    assert out.stdout.strip() == "[]"
