"""Face model `insightface-arcface`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from attribute_models.models import ATTRIBUTE_MODELS, INSIGHTFACE, PackParams

if TYPE_CHECKING:
    from attribute_models.insightface_pack import ArcFace


@ATTRIBUTE_MODELS.register(
    "insightface-arcface", family="identity", params=PackParams, needs=INSIGHTFACE,
    licence="non-commercial research only (the user's pack)",
    paper="Deng et al., ArcFace: additive angular margin loss for deep face recognition, CVPR 2019",
)
def insightface_arcface(params: PackParams) -> ArcFace:
    """Unit vectors per face, by the ArcFace model of an InsightFace pack that you bring."""
    from attribute_models.insightface_pack import ArcFace

    return ArcFace(params.pack)
