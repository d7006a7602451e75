"""Models by name, loaded once per process. Workers keep them between shards."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

from manifests.weights import Weight, catalogue, find_weight


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


def face_reader(detector: str, landmarker_: str, min_score: float, device: str) -> Any:
    """The reader of faces (`attribute_models.reader.FaceReader`) with models by name, each loaded once."""
    from attribute_models.reader import FaceReader

    return FaceReader(face_detector(detector, device), landmarker(landmarker_, device), min_score)


@lru_cache(maxsize=2)
def identity_index(path: str, digest: str) -> Any:
    """An index of identities; `digest` keeps a changed file from being served from the cache."""
    from attribute_models.identity.index import IdentityIndex

    return IdentityIndex.load(path)


def weight_of(name: str, kind: str) -> Weight:
    """What a model is made of, as it enters cache keys.

    A catalogued name or a weight file is only looked up; a registered model, or the description of an ONNX
    classifier, says itself which weight it has, and is loaded for that unless its entry has the fact
    `weight`.

    Args:
        name: as the configuration has it.
        kind: `generator`, `attributes`, `landmarks`, `detection` or `identity`.

    Raises:
        UserError: as `manifests.weights.find_weight`, or as loading the model.
    """
    from attribute_models.registry import ATTRIBUTE_MODELS

    described = kind == "attributes" and name.endswith(".toml")
    if kind == "generator" or name in catalogue(kind) or not (described or name in ATTRIBUTE_MODELS.names()):
        return find_weight(name, kind)
    look_up = None if described else ATTRIBUTE_MODELS.get(name).facts.get("weight")
    if look_up is not None:
        found: Weight = look_up()
    elif kind == "identity":
        found = identity_model(name, "cpu").weight
    else:
        loaders = {"attributes": attribute_model, "landmarks": landmarker, "detection": face_detector}
        found = loaders[kind](name, "cpu").weight
    return found
