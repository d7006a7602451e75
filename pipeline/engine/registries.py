"""Every registry of the project by its kind, named here so that commands know the kinds without importing any
of them.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from manifests.registry import Registry

REGISTRIES = {
    "forgeries": ("generators.forgeries", "FORGERIES"),
    "clip-forgeries": ("generators.talking.base", "CLIP_FORGERIES"),
    "generator-formats": ("generators.checkpoints.formats", "GENERATOR_FORMATS"),
    "families": ("manifests.families", "FAMILIES"),
    "strategies": ("generators.strategies", "STRATEGIES"),
    "attribute-models": ("attribute_models.registry", "ATTRIBUTE_MODELS"),
    "backbones": ("detector.models.backbones", "BACKBONES"),
    "architectures": ("detector.models.architectures", "ARCHITECTURES"),
    "losses": ("detector.losses", "LOSSES"),
    "audits": ("manifests.audit", "AUDITS"),
    "adapters": ("manifests.adapters", "ADAPTERS"),
    "exporters": ("manifests.exporters", "EXPORTERS"),
    "feature-networks": ("pipeline.faces.feature_networks", "FEATURE_NETWORKS"),
    "feature-spaces": ("pipeline.faces.feature_spaces", "FEATURE_SPACES"),
    "trackers": ("nn.tracking", "TRACKERS"),
    "executors": ("pipeline.engine.executors.registry", "EXECUTORS"),
    "stages": ("pipeline.engine.stages", "STAGES"),
}
"""Kind -> module and name of its registry."""
KINDS = (*REGISTRIES, "generators", "taxonomies")
"""What `fairforge list` lists."""


def registry_of(kind: str) -> Registry[Any]:
    """The registry of a kind of `REGISTRIES`."""
    module, name = REGISTRIES[kind]
    found: Registry[Any] = getattr(importlib.import_module(module), name)
    return found
