"""A detector as one ONNX file: uint8 pictures in, probabilities out, any batch; checked against torch before
it is kept.

Normalisation, the mirror mean and the sigmoid are inside the graph, so that a caller needs no code of ours.
The packages are an extra (`fairforge[onnx]`): onnx and onnxscript to write, onnxruntime to check.
"""

from __future__ import annotations

import importlib.util
import io
import logging
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from detector.inference.prediction import Detector
from detector.models.architectures import ARCHITECTURES
from detector.models.network import mirrored_logits
from manifests.atomic import canonical_json, write_bytes
from manifests.errors import DataError, MissingError, UsageError
from manifests.seeding import rng_of

PACKAGES = ("onnx", "onnxscript", "onnxruntime")
TOLERANCE = 1e-4
CHECKED = (1, 3, 8)


class _Whole(nn.Module):
    """The detector's whole road as one module: uint8 [N, S, S, 3] to `(fake, one per head)`,
    probabilities.
    """

    mean: Tensor
    std: Tensor

    def __init__(self, model: Detector) -> None:
        super().__init__()
        self.network = model.network
        config = model.network.config
        self.register_buffer("mean", torch.tensor(config.mean).view(1, 3, 1, 1))
        self.register_buffer("std", torch.tensor(config.std).view(1, 3, 1, 1))

    def forward(self, images: Tensor) -> tuple[Tensor, ...]:
        scaled = images.permute(0, 3, 1, 2).to(torch.float32) / 255
        logits = mirrored_logits(self.network, (scaled - self.mean) / self.std)
        return tuple(
            torch.sigmoid(v) if name == "fake" else torch.softmax(v, 1) for name, v in logits.items()
        )


def _require() -> None:
    missing = [name for name in PACKAGES if importlib.util.find_spec(name) is None]
    if missing:
        raise MissingError(
            "ONNX export",
            f"needs {', '.join(missing)}, which is not installed",
            "pip install 'fairforge[onnx]'",
        )


def _write_graph(model: Detector, names: list[str]) -> bytes:
    size = model.input_size
    example = torch.zeros(2, size, size, 3, dtype=torch.uint8)
    logging.getLogger("torch.onnx").setLevel(logging.ERROR)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        program = torch.onnx.export(
            _Whole(model).eval(),
            (example,),
            dynamo=True,
            verbose=False,
            input_names=["images"],
            output_names=names,
            dynamic_shapes={"images": {0: torch.export.Dim("batch", min=1)}},
        )
    assert program is not None
    buffer = io.BytesIO()
    proto = program.model_proto
    for key, value in {"detector": canonical_json(model.header), "outputs": ",".join(names)}.items():
        entry = proto.metadata_props.add()
        entry.key, entry.value = key, value
    buffer.write(proto.SerializeToString())
    return buffer.getvalue()


def _largest_difference(model: Detector, graph: bytes, names: list[str]) -> float:
    """The largest difference of any output to torch's, over random pictures in batches of 1, 3 and 8."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(graph, options, providers=["CPUExecutionProvider"])
    worst = 0.0
    for count in CHECKED:
        images = rng_of(count, "onnx check").integers(
            0, 256, (count, model.input_size, model.input_size, 3), np.uint8
        )
        ours = model.predict_all(images)
        for name, found in zip(names, session.run(names, {"images": images}), strict=True):
            gap = np.abs(found - ours[name]).max() if found.shape == ours[name].shape else np.inf
            worst = max(worst, float(gap) if np.isfinite(gap) else np.inf)
    return worst


def export_onnx(model: Detector, path: str | Path) -> dict[str, Any]:
    """Write a detector as ONNX, after its outputs agree with torch's within 1e-4 on random pictures.

    Input `images` uint8 [N, S, S, 3] RGB. Outputs `fake` float32 [N] and per demographic head float32 [N,
    classes]. The checkpoint's header stands in the file's metadata under `detector`.

    Args:
        model: on the CPU.
        path: the file to write.

    Returns:
        `onnx` (the path), `outputs`, `input_size`, `largest_difference`.

    Raises:
        MissingError: a package is not installed.
        UsageError: the network's architecture cannot be exported.
        DataError: the outputs differ; nothing is written.
    """
    _require()
    name = model.network.config.architecture
    if "onnx" not in ARCHITECTURES.create(name).exports:
        raise UsageError(
            "ONNX export", f"is not possible for the network {name}", "use the checkpoint itself"
        )
    names = ["fake", *model.network.heads]
    graph = _write_graph(model, names)
    worst = _largest_difference(model, graph, names)
    if worst > TOLERANCE:
        raise DataError(
            "ONNX export",
            f"its outputs differ from torch's by up to {worst:.2g}",
            "export with another version of torch and onnxruntime, and report this backbone",
        )
    write_bytes(Path(path), graph)
    return {"onnx": str(path), "outputs": names, "input_size": model.input_size, "largest_difference": worst}
