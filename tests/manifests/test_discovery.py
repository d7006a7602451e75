"""Every registry of the project finds what its sub-package holds, and every entry says enough of itself."""

import importlib

import pytest

from manifests.errors import UsageError

REGISTRIES = {
    "AUDITS": ("manifests.audit", "balance"),
    "ADAPTERS": ("manifests.adapters", None),
    "EXPORTERS": ("manifests.exporters", None),
    "FORGERIES": ("generators.forgeries", None),
    "FAMILIES": ("manifests.families", "swap"),
    "GENERATOR_FORMATS": ("generators.checkpoints.formats", "official-pickle"),
    "ARCHITECTURES": ("detector.models.architectures", "single"),
    "LOSSES": ("detector.losses", None),
    "BACKBONES": ("detector.models.backbones", None),
    "FEATURE_SPACES": ("pipeline.faces.feature_spaces", "attributes"),
    "ATTRIBUTE_MODELS": ("attribute_models.registry", None),
}


@pytest.mark.parametrize("name", REGISTRIES)
def test_registry_is_filled_by_discovery(name):
    module, expected = REGISTRIES[name]
    registry = getattr(importlib.import_module(module), name)
    names = registry.names()
    assert names
    assert names == sorted(set(names))
    assert expected is None or expected in names
    for entry in registry.entries():
        assert entry.summary, f"{entry.name} has no first line of documentation"
        assert entry.licence
        assert callable(entry.build)
        assert entry.params.model_config["extra"] == "forbid"
        assert entry.params.model_config["frozen"]
    with pytest.raises(UsageError) as caught:
        registry.get(names[0] + "x")
    assert names[0] in caught.value.why
