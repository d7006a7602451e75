"""Models by name, loaded once per process. Workers keep them between shards."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

from manifests.weights import Weight, find_weight


@lru_cache(maxsize=2)
def generator(name: str, device: str) -> Any:
    """A `generators` generator."""
    from generators import load_generator

    return load_generator(name, device=device)


@lru_cache(maxsize=2)
def cell_model(path: str, digest: str) -> Any:
    """A fitted cell model; `digest` keeps a changed file from being served from the cache."""
    from generators.cells import CellModel

    return CellModel.load(path)


@lru_cache(maxsize=2)
def attribute_model(name: str, device: str) -> Any:
    """A race x gender x age model."""
    from attribute_models import load_attribute_model

    return load_attribute_model(name, device=device)


def attribute_weight(name: str) -> Weight:
    """The weight of a race x gender x age model, by its name, its weight file, or the description of an ONNX classifier.

    Raises:
        UserError: as `manifests.weights.find_weight`, or as loading the description.
    """
    if name.endswith(".toml"):
        weight: Weight = attribute_model(name, "cpu").weight
        return weight
    return find_weight(name, "attributes")


@lru_cache(maxsize=2)
def landmarker(name: str, device: str) -> Any:
    """A dense landmark model."""
    from attribute_models import load_landmarker

    return load_landmarker(name, device=device)


@lru_cache(maxsize=2)
def face_detector(name: str, device: str) -> Any:
    """A face detector."""
    from attribute_models import load_face_detector

    return load_face_detector(name, device=device)


@lru_cache(maxsize=2)
def identity_model(name: str, device: str = "cpu") -> Any:
    """An identity embedding."""
    from attribute_models import load_identity_model

    return load_identity_model(name, device=device)


@lru_cache(maxsize=2)
def identity_index(path: str, digest: str) -> Any:
    """An index of identities; `digest` keeps a changed file from being served from the cache."""
    from attribute_models.identity_index import IdentityIndex

    return IdentityIndex.load(path)
