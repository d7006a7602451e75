"""Attribute model `onnx-classifier`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from attribute_models.models import ATTRIBUTE_MODELS, FileParams
from manifests.errors import UsageError
from manifests.registry import Need

if TYPE_CHECKING:
    from attribute_models.attributes.onnx_classifier import OnnxClassifier


@ATTRIBUTE_MODELS.register(
    "onnx-classifier", family="attributes", params=FileParams, needs=(Need("onnxruntime", "onnx"), Need("onnx", "onnx")),
    licence="the model's own", paper="ONNX, onnx.ai (the file format)",
)
def onnx_classifier(params: FileParams) -> OnnxClassifier:
    """Any ONNX classifier of aligned faces, described by a small TOML file: input, heads, class names, licence."""
    from attribute_models.attributes.onnx_classifier import OnnxClassifier

    if not params.file:
        raise UsageError("onnx-classifier", "needs the TOML file that describes the model", "give it as --model DESCRIPTION.toml")
    return OnnxClassifier(Path(params.file))
