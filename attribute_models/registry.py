"""The registry of face models: each registers itself in the folder of its family (detection, landmarks,
attributes, identity).

A listing imports all modules of these folders, so they import torch and OpenCV where they use them; networks
lie in `networks`.
"""

from __future__ import annotations

from typing import Any

from manifests.registry import Need, Params, Registry

ATTRIBUTE_MODELS: Registry[Any] = Registry(
    "attribute-models",
    *(f"attribute_models.{family}" for family in ("detection", "landmarks", "attributes", "identity")),
)
INSIGHTFACE = (
    Need("insightface", "insightface"),
    Need("onnxruntime", "insightface"),
    Need("onnx", "insightface"),
)


class DeviceParams(Params):
    """Parameters of a model that runs on a torch device."""

    device: str = "cpu"


class FileParams(DeviceParams):
    """Parameters of a model whose weights the user brings. file: their path; empty: the catalogued weight of
    its name.
    """

    file: str = ""


class PackParams(DeviceParams):
    """Parameters of a model out of an InsightFace pack. pack: its folder, or a name in ~/.insightface/models;
    it runs on the CPU.

    file: another word for `pack`, for commands that name one file.
    """

    pack: str = "buffalo_l"
    file: str = ""

    def model_post_init(self, _: object) -> None:
        """`file` takes the place of `pack`."""
        if self.file:
            object.__setattr__(self, "pack", self.file)
