"""Attribute model `fairforge-small`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from attribute_models.models import ATTRIBUTE_MODELS, DeviceParams
from manifests.weights import find_weight

if TYPE_CHECKING:
    from attribute_models.attributes.small import AttributeModel

NAME = "fairforge-small"


@ATTRIBUTE_MODELS.register(
    NAME, family="attributes", params=DeviceParams,
    paper="Kärkkäinen & Joo, FairFace: face attribute dataset for balanced race, gender, and age, WACV 2021",
)
def fairforge_small(params: DeviceParams) -> AttributeModel:
    """Perceived race (7 classes), gender and age (9 bands) of an aligned face, calibrated; trained on FairFace."""
    from attribute_models.attributes.small import AttributeModel

    return AttributeModel(find_weight(NAME, "attributes"), params.device)
