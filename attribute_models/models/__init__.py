"""The registry of face models: one file per model, with its family (detection, attributes, landmarks, identity)."""

from __future__ import annotations

from typing import Any

from manifests.registry import Params, Registry

ATTRIBUTE_MODELS: Registry[Any] = Registry("attribute-models", "attribute_models.models")


class DeviceParams(Params):
    """Parameters of a model that runs on a torch device."""

    device: str = "cpu"
