"""`fairforge weights import` of each format: what is written, recorded, told, and refused."""

import json
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import numpy as np
import pytest
import torch

from generators import load_generator
from nn.safetensors_files import read_metadata
from pipeline.__main__ import main

TESTS = Path(__file__).parents[1]
SNAPSHOT = TESTS / "fixtures" / "sg2-official-format" / "uncond64.pkl"


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """The user's weight folder."""
    monkeypatch.setenv("FAIRFORGE_WEIGHTS", str(tmp_path / "weights"))
    return tmp_path / "weights"


@pytest.fixture
def torch_file(tmp_path, monkeypatch):
    """A checkpoint of stylegan2-pytorch without its mean latent."""
    from tests.generators import rosinality_layout

    torch.save({"g_ema": rosinality_layout.random_state(size=8)}, tmp_path / "model.pt")
    return tmp_path / "model.pt"


def test_a_torch_file_is_converted_recorded_and_usable_by_name(folder, torch_file, capsys):
    arguments = [
        "weights",
        "import",
        str(torch_file),
        "--kind",
        "generator",
        "--licence",
        "CC BY-NC 4.0",
        "--json",
    ]
    assert main(arguments) == 0
    told = json.loads(capsys.readouterr().out)
    assert "w_avg is the mean of 10000 mapped latents" in told["notes"][0]
    header = read_metadata(folder / "model.safetensors")
    assert (header["licence"], header["family"]) == ("CC BY-NC 4.0", "stylegan2-ada")
    assert json.loads(header["config"])["img_resolution"] == 8
    assert "lacks latent_avg" in header["data"]
    entry = tomllib.loads((folder / "weights.toml").read_text())["model"]
    assert (entry["licence"], entry["kind"], entry["sha256"]) == ("CC BY-NC 4.0", "generator", told["sha256"])
    z = np.ones((2, 12), np.float32)
    direct, named = load_generator(torch_file), load_generator("model")
    assert torch.equal(direct(z, psi=0.5), named(z, psi=0.5))
    assert (direct.licence, named.licence) == ("unknown", "CC BY-NC 4.0")
    elsewhere = shutil.copy(folder / "model.safetensors", torch_file.with_name("copy.safetensors"))
    assert load_generator(elsewhere).licence == "CC BY-NC 4.0"
    assert main(arguments) == 2
    assert "is known already" in capsys.readouterr().err


def test_an_official_snapshot_is_converted(folder, capsys):
    assert main(["weights", "import", str(SNAPSHOT), "--licence", "CC0 1.0", "--name", "mine"]) == 0
    assert "mine: 64 px" in capsys.readouterr().out
    z = np.ones((1, 64), np.float32)
    assert torch.equal(load_generator("mine")(z), load_generator(SNAPSHOT)(z))
    assert main(["weights", "verify"]) == 0


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["--kind", "generatr"], 2, "did you mean generator"),
        (["--kind", "detector"], 2, "cannot be imported"),
        (["--name", "../out"], 2, "is not a file's name"),
        ([], 3, "not readable as plain tensors"),
    ],
)
def test_what_cannot_be_imported_leaves_nothing(folder, torch_file, capsys, arguments, code, message):
    torch_file.write_bytes(torch_file.read_bytes()[:500])
    assert main(["weights", "import", str(torch_file), "--licence", "CC0 1.0", *arguments]) == code
    error = capsys.readouterr().err
    assert message in error
    assert "fix: " in error
    assert not folder.exists()


def test_imports_at_once_are_all_recorded(folder):
    """Eight processes that begin together: the catalogue is read, changed and written by one after
    another.
    """
    program = (
        "import sys, time\nfrom pipeline.commands.weights.records import _record\nfrom manifests.atomic"
        " import write_bytes\nfrom manifests.weights import user_folder\nname = sys.argv[1]\nprint('ready',"
        " flush=True)\nsys.stdin.readline()\n_record(name, 'backbone', 'CC0', 'data', lambda:"
        " write_bytes(user_folder() / f'{name}.safetensors', name.encode()))\n"
    )
    names = [f"n{k}" for k in range(8)]
    started = [
        subprocess.Popen(
            [sys.executable, "-c", program, name], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        for name in names
    ]
    assert all(process.stdout.readline() == "ready\n" for process in started)
    for process in started:
        process.stdin.write("go\n")
        process.stdin.flush()
    for process in started:
        process.communicate()
    assert sorted(tomllib.loads((folder / "weights.toml").read_text())) == names
    assert sorted(path.stem for path in folder.glob("*.safetensors")) == names


def test_a_name_taken_meanwhile_is_refused_and_leftovers_go(folder):
    from manifests.errors import UsageError
    from pipeline.commands.weights.records import _record

    written = []
    folder.mkdir()
    (folder / ".n.safetensors.abcd1234.tmp").write_text("half")

    def write():
        written.append(1)
        (folder / "n.safetensors").write_bytes(b"n")

    _record("n", "backbone", "CC0", "data", write)
    with pytest.raises(UsageError, match="is known already"):
        _record("n", "backbone", "CC0", "data", write)
    assert written == [1]
    assert not list(folder.glob(".*.tmp"))
