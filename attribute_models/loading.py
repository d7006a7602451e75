"""Face models by name: registered ones, or a weight file by catalogued name or by path."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from attribute_models.registry import ATTRIBUTE_MODELS
from manifests.errors import UsageError
from manifests.weights import find_weight

if TYPE_CHECKING:
    from attribute_models.attributes.classifier import FaceClassifier
    from attribute_models.detection.boxes import FaceDetector
    from attribute_models.identity.embeddings import IdentityModel
    from attribute_models.landmarks.mesh import Landmarker


def _registered(name: str | Path, family: str) -> bool:
    """Whether `name` is registered, with the right family."""
    known = {entry.name: entry.family for entry in ATTRIBUTE_MODELS.entries()}
    found = known.get(str(name))
    if found is not None and found != family:
        fitting = ", ".join(n for n, f in known.items() if f == family)
        raise UsageError(
            f"attribute model {str(name)!r}", f"is for {found}, not for {family}", f"choose: {fitting}"
        )
    return found is not None


def _create(name: str, family: str, params: dict[str, Any]) -> Any:
    if not _registered(name, family):
        ATTRIBUTE_MODELS.get(name)
    return ATTRIBUTE_MODELS.create(name, params)


def load_face_detector(name: str = "mtcnn", device: str = "cpu", **params: Any) -> FaceDetector:
    """A face detector: `.detect(image uint8 [H, W, 3]) -> list[DetectedFace]`. params: as its `Params` model.

    Raises:
        UsageError: unknown name, parameter or device. MissingError: its package is not installed.
    """
    return _create(name, "detection", {"device": device, **params})


def load_identity_model(name: str = "dlib-resnet", device: str = "cpu", **params: Any) -> IdentityModel:
    """An identity model: `.embed(image uint8 [H, W, 3], points) -> float32 [D]`.

    Raises:
        UsageError: unknown name, parameter or device. MissingError: its package or weight is not installed.
    """
    known = ATTRIBUTE_MODELS.get(name).params.model_fields
    return _create(name, "identity", {"device": device, **params} if "device" in known else params)


def load_attribute_model(
    name_or_path: str | Path = "fairforge-small",
    device: str = "cpu",
    **params: Any,
) -> FaceClassifier:
    """A race x gender x age model: `.predict(images uint8 [N, H, W, 3]) -> head -> float32 [N, classes]`.

    name_or_path: registered, catalogued, a weight file (`.safetensors`), or an ONNX description (`.toml`).
    params: of a registered model, as its `Params` say (`file`: the user's weights).

    Raises:
        UsageError: not an attribute model; unknown device. MissingError: no such name or file, or its
            package.
        DataError: the file is corrupt, of another kind, or not the one catalogued.
    """
    if str(name_or_path).endswith(".toml"):
        return ATTRIBUTE_MODELS.create("onnx-classifier", {"file": str(name_or_path), **params})
    if _registered(name_or_path, "attributes"):
        return ATTRIBUTE_MODELS.create(str(name_or_path), {"device": device, **params})
    if params:
        raise UsageError(
            f"model {str(name_or_path)!r}", f"takes no {', '.join(params)}", "name a registered model"
        )
    from attribute_models.attributes.small import AttributeModel

    return AttributeModel(find_weight(name_or_path, "attributes"), device)


def load_landmarker(name_or_path: str | Path = "fairforge-mesh148", device: str = "cpu") -> Landmarker:
    """A dense landmark model: `.predict(images uint8 [N, H, W, 3]) -> float32 [N, K, 2]`, pixels of the
    input.

    Raises:
        UsageError: not a landmark model; unknown device. MissingError: no such name or file.
        DataError: the file is corrupt, of another kind, or not the one catalogued.
    """
    if _registered(name_or_path, "landmarks"):
        return ATTRIBUTE_MODELS.create(str(name_or_path), {"device": device})
    from attribute_models.landmarks.mesh import Landmarker

    return Landmarker(find_weight(name_or_path, "landmarks"), device)
