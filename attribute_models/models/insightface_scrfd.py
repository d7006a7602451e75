"""Face model `insightface-scrfd`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pydantic import Field

from attribute_models.models import ATTRIBUTE_MODELS, INSIGHTFACE, PackParams

if TYPE_CHECKING:
    from attribute_models.insightface_pack import Scrfd


class ScrfdParams(PackParams):
    """size: side in pixels at which pictures are searched. threshold: least score."""

    size: int = Field(640, ge=64, le=4096, multiple_of=32)
    threshold: float = Field(0.5, ge=0, le=1)


@ATTRIBUTE_MODELS.register(
    "insightface-scrfd", family="detection", params=ScrfdParams, needs=INSIGHTFACE,
    licence="non-commercial research only (the user's pack)",
    paper="Guo et al., Sample and computation redistribution for efficient face detection, ICLR 2022",
)
def insightface_scrfd(params: ScrfdParams) -> Scrfd:
    """Faces with boxes, scores and five points, by the SCRFD detector of an InsightFace pack that you bring."""
    from attribute_models.insightface_pack import Scrfd

    return Scrfd(params.pack, params.size, params.threshold)
