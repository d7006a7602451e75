"""A small valid input of every reader of weights and models: pickles, torch files, safetensors."""

from __future__ import annotations

import io
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tomli_w
import torch
from onnx import TensorProto, helper, numpy_helper

from attribute_models.attributes.onnx_classifier import OnnxClassifier
from attribute_models.networks.dlib import DlibFile
from attribute_models.user_weights import read_state as read_user_state
from attribute_models.weights_io import read_network, save_network
from detector.inference.checkpoints import read_checkpoint, read_state, save_checkpoint
from detector.models.network_config import NetworkConfig
from detector.models.starting_weights import read_weights
from generators import load_generator
from generators.autoencoder.files import load_autoencoder, save_autoencoder
from generators.autoencoder.network import Autoencoder, AutoencoderConfig
from generators.cells.density import Mixture
from generators.cells.directions import Directions, read_directions
from generators.cells.model import CellModel
from generators.checkpoints.files import save_generator
from generators.checkpoints.official_pickle import read_official_pickle
from generators.forgeries.onnx_parts import last_initializer, run
from generators.stylegan2 import Generator
from generators.stylegan2.config import parse_config
from nn.saving import save_state
from nn.tensor_files import load_tensor_file, plain_tensors
from tests.fuzz.harness import Target
from tests.generators.stored_networks import generator_kwargs, persistence_writer, stored, write

EYE = np.eye(4)


def generator() -> Generator:
    sizes = {
        "z_dim": 4,
        "w_dim": 4,
        "img_resolution": 8,
        "mapping_kwargs": {"num_layers": 1},
        "synthesis_kwargs": {"channel_base": 16, "channel_max": 2},
    }
    made = Generator(parse_config(sizes, "fuzz"))
    made.initialise(1)
    return made.eval().requires_grad_(False)


def saved(name: str, save: Any) -> dict[str, bytes]:
    """What `save(path)` writes at the name."""
    with tempfile.TemporaryDirectory() as folder:
        save(Path(folder) / name)
        return {name: (Path(folder) / name).read_bytes()}


def snapshot() -> dict[str, bytes]:
    made = generator()
    with pytest.MonkeyPatch.context() as patch:
        persistent = persistence_writer(patch)
        value = {
            "G_ema": stored(persistent, made, "Generator", _init_args=(), _init_kwargs=generator_kwargs(made))
        }
        return saved("a.pkl", lambda path: write(path, value))


def torch_file() -> dict[str, bytes]:
    out = io.BytesIO()
    torch.save(
        {"state_dict": {"module.a": torch.ones(2, 3), "module.b": torch.zeros(1, dtype=torch.int64)}}, out
    )
    return {"a.pt": out.getvalue()}


def state_file() -> dict[str, bytes]:
    return saved(
        "a.pt",
        lambda path: save_state(
            path,
            {
                "key": "k",
                "metrics": [{"loss": 0.5}],
                "best": {},
                "network": {"a": torch.ones(2)},
                "average": {},
                "optimizer": {},
            },
        ),
    )


def dlib_file() -> dict[str, bytes]:
    """Three layers as dlib writes them: tag, integers (of the last: two sizes first), version, four sides,
    values.
    """
    data = b""
    for tag, before, count in (("con_4", b"", 4), ("affine_", b"", 2), ("fc_2", b"\x01\x02\x01\x03", 6)):
        sides = b"\x01" + bytes([count]) + b"\x01\x01" * 3
        data += (
            b"\x01"
            + bytes([len(tag)])
            + tag.encode()
            + before
            + b"\x01\x02"
            + sides
            + np.ones(count, "<f4").tobytes()
        )
    return {"n.dat": data}


def dlib_layers(place: Path) -> None:
    file = DlibFile(place / "n.dat")
    for tag, count, before in (("con_4", 4, 0), ("affine_", 2, 0), ("fc_2", 6, 2)):
        assert np.isfinite(file.layer(tag, count, before)).all()


def tensors(place: Path) -> None:
    value = load_tensor_file(place / "a.pt")
    plain_tensors(value.get("state_dict"), "state_dict", "a.pt")


def detector_file() -> dict[str, bytes]:
    config = NetworkConfig(backbone="resnet10t-narrow", input_size=32, heads={"race": ("White", "Black")})
    return saved(
        "d.safetensors",
        lambda path: save_checkpoint(path, config, {"w": torch.ones(2, 3)}, {"taxonomy": "fairface4"}),
    )


def face_file() -> dict[str, bytes]:
    network = torch.nn.Linear(2, 2)
    return saved(
        "f.safetensors", lambda path: save_network(path, network, {"kind": "attributes", "size": 64})
    )


def cells() -> dict[str, bytes]:
    mixture = Mixture(np.ones(1), np.zeros((1, 2)), np.eye(2)[None], -5.0)
    names = ("White/Male", "Black/Female")
    ordered = [cell for cell in ("White/Male", "White/Female", "Black/Male", "Black/Female") if cell in names]
    made = CellModel(
        "fairface4",
        "w",
        np.zeros(4),
        EYE,
        EYE[:, :2],
        dict.fromkeys(ordered, mixture),
        9.0,
        dict.fromkeys(ordered, 5),
        dict.fromkeys(ordered, 0.5),
        "00",
        "11",
        {"seed": 1},
        None,
        1,
        dict.fromkeys(ordered, 1.0),
        dict.fromkeys(ordered, 0.1),
        {cell: [1, 2] for cell in ordered},
    )
    return saved("c.safetensors", made.save)


def small_autoencoder() -> Autoencoder:
    return Autoencoder(AutoencoderConfig(widths=(2, 2, 4, 4), latent=3))


def directions() -> dict[str, bytes]:
    made = Directions(("smile",), np.zeros(4), EYE, EYE, np.ones((1, 4)), (0.5,), "00", {"draws": 10})
    return saved("x.safetensors", made.save)


def weight_targets() -> list[Target]:
    return [
        Target(
            "official pickle",
            snapshot,
            lambda place: read_official_pickle(place / "a.pkl"),
            ("generators.checkpoints.official_pickle", "generators.checkpoints.official_records"),
            120,
        ),
        Target("torch file", torch_file, tensors, ("nn.tensor_files", "nn.stored_tensors"), 60),
        Target(
            "backbone weights",
            torch_file,
            lambda place: read_weights(place / "a.pt"),
            ("detector.models.starting_weights",),
            40,
        ),
        Target(
            "user's weights",
            torch_file,
            lambda place: read_user_state(place / "a.pt"),
            ("attribute_models.user_weights",),
            40,
        ),
        Target(
            "training state",
            state_file,
            lambda place: read_state(place / "a.pt"),
            ("detector.inference.checkpoints",),
            40,
        ),
        Target(
            "generator",
            lambda: saved("g.safetensors", lambda path: save_generator(path, generator())),
            lambda place: load_generator(str(place / "g.safetensors")),
            ("generators.checkpoints.files", "generators.checkpoints.library"),
            80,
        ),
        Target(
            "autoencoder",
            lambda: saved("a.safetensors", lambda path: save_autoencoder(path, small_autoencoder(), {})),
            lambda place: load_autoencoder(place / "a.safetensors"),
            ("generators.autoencoder.files",),
            40,
        ),
        Target(
            "detector",
            detector_file,
            lambda place: read_checkpoint(place / "d.safetensors"),
            ("detector.inference.checkpoints",),
            40,
        ),
        Target(
            "face model",
            face_file,
            lambda place: read_network(place / "f.safetensors", "attributes"),
            ("attribute_models.weights_io",),
            50,
        ),
        Target(
            "dlib network",
            dlib_file,
            dlib_layers,
            ("attribute_models.networks.dlib",),
            60,
        ),
        Target(
            "cell model",
            cells,
            lambda place: CellModel.load(place / "c.safetensors"),
            ("generators.cells.model",),
            80,
        ),
        Target(
            "latent directions",
            directions,
            lambda place: read_directions(place / "x.safetensors"),
            ("generators.cells.directions",),
            60,
        ),
    ]


# --- ONNX ---


def onnx_model() -> bytes:
    """Pictures [1, 3, 8, 8] to two columns, by a matrix that is its last initializer."""
    nodes = [
        helper.make_node("Flatten", ["x"], ["flat"]),
        helper.make_node("MatMul", ["flat", "matrix"], ["hidden"]),
        helper.make_node("MatMul", ["hidden", "square"], ["y"]),
    ]
    constants = {"matrix": np.ones((192, 2), np.float32), "square": np.eye(2, dtype=np.float32)}
    graph = helper.make_graph(
        nodes,
        "tiny",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 3, 8, 8])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [1, 2])],
        [numpy_helper.from_array(value, name) for name, value in constants.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)
    return model.SerializeToString()


DESCRIPTION = {
    "name": "n",
    "file": "m.onnx",
    "licence": "x",
    "crop": 128,
    "input": {"size": 8},
    "heads": {"race": {"classes": ["White", "Black"]}},
}


def classifier() -> dict[str, bytes]:
    return {"d.toml": tomli_w.dumps(DESCRIPTION).encode(), "m.onnx": onnx_model()}


def engine(place: Path) -> None:
    path = str(place / "m.onnx")
    run(path, {"0": np.zeros((1, 3, 8, 8), np.float32)})
    last_initializer(path)


def onnx_targets() -> list[Target]:
    return [
        Target(
            "onnx classifier",
            classifier,
            lambda place: OnnxClassifier(place / "d.toml"),
            ("attribute_models.attributes.onnx_classifier", "attribute_models.attributes.onnx_description"),
            80,
        ),
        Target(
            "onnx engine", lambda: {"m.onnx": onnx_model()}, engine, ("generators.forgeries.onnx_parts",), 80
        ),
    ]
