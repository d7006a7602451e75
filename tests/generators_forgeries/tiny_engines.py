"""Small ONNX files with the inputs and outputs of neural engines; what they compute is simple enough to check
by hand.
"""

from __future__ import annotations

import atexit
import shutil
import tempfile
from functools import lru_cache
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

DIM = 16
KEY_POINTS = 5
SIZES = {"swap-inswapper": 128, "swap-simswap": 224, "swap-ghost": 256}


def tensor(name: str, shape: list) -> onnx.ValueInfoProto:
    return helper.make_tensor_value_info(name, TensorProto.FLOAT, shape)


def save(path: Path, nodes: list, inputs: list, outputs: list, constants: dict[str, np.ndarray]) -> Path:
    """A model; the last of `constants` is its last initializer."""
    initializers = [numpy_helper.from_array(np.asarray(value), name) for name, value in constants.items()]
    graph = helper.make_graph(nodes, "tiny", inputs, outputs, initializers)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)
    onnx.checker.check_model(model)
    onnx.save(model, path)
    return path


def embedder(path: Path) -> Path:
    """ArcFace's signature: the picture's means on a 4 x 4 grid, times a random matrix."""
    matrix = np.random.default_rng(0).standard_normal((48, DIM)).astype(np.float32)
    nodes = [
        helper.make_node("AveragePool", ["input.1"], ["grid"], kernel_shape=[28, 28], strides=[28, 28]),
        helper.make_node("Flatten", ["grid"], ["flat"]),
        helper.make_node("MatMul", ["flat", "matrix"], ["683"]),
    ]
    return save(
        path, nodes, [tensor("input.1", [1, 3, 112, 112])], [tensor("683", [1, DIM])], {"matrix": matrix}
    )


def swapper(path: Path, size: int, identity_first: bool = False) -> Path:
    """target * .5 + tanh(source @ colour) * .2, per channel; the emap is its last initializer."""
    rng = np.random.default_rng(1)
    constants = {
        "colour": rng.standard_normal((DIM, 3)).astype(np.float32),
        "half": np.float32(0.5),
        "share": np.float32(0.2),
        "shape": np.array([1, 3, 1, 1], np.int64),
        "emap": rng.standard_normal((DIM, DIM)).astype(np.float32),
    }
    nodes = [
        helper.make_node("MatMul", ["source", "colour"], ["tint"]),
        helper.make_node("Tanh", ["tint"], ["soft"]),
        helper.make_node("Mul", ["soft", "share"], ["weak"]),
        helper.make_node("Reshape", ["weak", "shape"], ["spread"]),
        helper.make_node("Mul", ["target", "half"], ["dim"]),
        helper.make_node("Add", ["dim", "spread"], ["output"]),
    ]
    inputs = [tensor("target", [1, 3, size, size]), tensor("source", [1, DIM])]
    return save(
        path,
        nodes,
        inputs[::-1] if identity_first else inputs,
        [tensor("output", [1, 3, size, size])],
        constants,
    )


def live_portrait(folder: Path) -> tuple[Path, Path, Path]:
    """Appearance (the picture), motion (seven outputs of its means), warping (twice the size, brighter by the
    motion).
    """
    rng = np.random.default_rng(2)
    sizes = {
        "pitch": 66,
        "yaw": 66,
        "roll": 66,
        "t": 3,
        "exp": 3 * KEY_POINTS,
        "scale": 1,
        "kp": 3 * KEY_POINTS,
    }
    picture = tensor("img", [1, 3, 256, 256])
    nodes = [
        helper.make_node("AveragePool", ["img"], ["grid"], kernel_shape=[64, 64], strides=[64, 64]),
        helper.make_node("Flatten", ["grid"], ["flat"]),
        *(helper.make_node("MatMul", ["flat", f"{name}.w"], [name]) for name in sizes),
    ]
    constants = {
        f"{name}.w": rng.standard_normal((48, size)).astype(np.float32) * 0.6 for name, size in sizes.items()
    }
    motion = save(
        folder / "motion.onnx", nodes, [picture], [tensor(n, [1, s]) for n, s in sizes.items()], constants
    )
    appearance = save(
        folder / "appearance.onnx",
        [helper.make_node("Identity", ["img"], ["feature"])],
        [picture],
        [tensor("feature", [1, 3, 256, 256])],
        {},
    )
    points = [1, KEY_POINTS, 3]
    nodes = [
        helper.make_node("Sub", ["kp_driving", "kp_source"], ["by"]),
        helper.make_node("ReduceMean", ["by"], ["mean"], axes=[0, 1, 2], keepdims=0),
        helper.make_node("Add", ["feature_3d", "mean"], ["lit"]),
        helper.make_node("Resize", ["lit", "", "scales"], ["out"], mode="nearest"),
    ]
    inputs = [
        tensor("feature_3d", [1, 3, 256, 256]),
        tensor("kp_driving", points),
        tensor("kp_source", points),
    ]
    warping = save(
        folder / "warping.onnx",
        nodes,
        inputs,
        [tensor("out", [1, 3, 512, 512])],
        {"scales": np.array([1, 1, 2, 2], np.float32)},
    )
    return appearance, motion, warping


@lru_cache(maxsize=1)
def folder() -> Path:
    made = Path(tempfile.mkdtemp(prefix="tiny-engines-"))
    atexit.register(shutil.rmtree, made, ignore_errors=True)
    return made


@lru_cache(maxsize=8)
def engine_files(name: str) -> dict[str, str]:
    """Paths of an engine's files, by parameter."""
    if name == "reenact-liveportrait":
        return dict(zip(("appearance", "motion", "warping"), map(str, live_portrait(folder())), strict=True))
    model = swapper(folder() / f"{name}.onnx", SIZES[name], identity_first=name == "swap-ghost")
    return {"model": str(model), "arcface": str(embedder(folder() / f"{name}-arcface.onnx"))}
