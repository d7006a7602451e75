"""Face model `insightface-genderage`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from attribute_models.models import ATTRIBUTE_MODELS, INSIGHTFACE, PackParams

if TYPE_CHECKING:
    from attribute_models.insightface_pack import GenderAge


@ATTRIBUTE_MODELS.register(
    "insightface-genderage", family="attributes", params=PackParams, needs=INSIGHTFACE,
    licence="non-commercial research only (the user's pack)",
    paper="InsightFace, github.com/deepinsight/insightface (attribute model of the packs)",
)
def insightface_genderage(params: PackParams) -> GenderAge:
    """Perceived gender, and age in years, by the genderage model of an InsightFace pack that you bring; no race."""
    from attribute_models.insightface_pack import GenderAge

    return GenderAge(params.pack)
