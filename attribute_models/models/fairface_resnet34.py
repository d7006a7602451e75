"""Attribute model `fairface-resnet34`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from attribute_models.models import ATTRIBUTE_MODELS, FileParams

if TYPE_CHECKING:
    from attribute_models.attributes.fairface_resnet34 import FairFaceResnet34

NAME = "fairface-resnet34"
ORIGIN = (
    "It is res34_fair_align_multi_7_20190809.pt of the FairFace authors, by the links in the README of "
    "github.com/dchen236/FairFace (licence CC BY 4.0: name Kärkkäinen & Joo, WACV 2021)"
)


@ATTRIBUTE_MODELS.register(
    NAME, family="attributes", params=FileParams, licence="CC BY 4.0 (the user's file)",
    paper="Kärkkäinen & Joo, FairFace: face attribute dataset for balanced race, gender, and age, WACV 2021",
)
def fairface_resnet34(params: FileParams) -> FairFaceResnet34:
    """FairFace's own ResNet-34 with 18 outputs: race (7 classes), gender, age (9 bands); you bring the file."""
    from attribute_models.attributes.fairface_resnet34 import FairFaceResnet34
    from attribute_models.user_weights import user_weight

    return FairFaceResnet34(user_weight(NAME, params.file, "attributes", ORIGIN), params.device)
