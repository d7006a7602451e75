"""Face detector `mtcnn`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pydantic import Field

from attribute_models.models import ATTRIBUTE_MODELS, DeviceParams

if TYPE_CHECKING:
    from attribute_models.detection import Mtcnn


class MtcnnParams(DeviceParams):
    """How `mtcnn` looks at a picture.

    upscale_to: a picture whose longer side (padding included) is smaller is enlarged to it; 0 never enlarges.
    pad: edge padding on every side, as a share of the longer side. min_face: smallest face in pixels, after enlarging.
    thresholds: of the three networks, in turn.
    """

    upscale_to: int = Field(224, ge=0, le=4096)
    pad: float = Field(0.3, ge=0, le=1)
    min_face: int = Field(20, ge=12)
    thresholds: tuple[float, float, float] = (0.6, 0.7, 0.7)


@ATTRIBUTE_MODELS.register(
    "mtcnn", family="detection", params=MtcnnParams, licence="MIT",
    paper="Zhang et al., Joint face detection and alignment using multi-task cascaded convolutional networks, "
    "IEEE SPL 2016",
)
def mtcnn(params: MtcnnParams) -> Mtcnn:
    """Faces with boxes, scores and five points, by the three-stage MTCNN of facenet-pytorch."""
    from attribute_models.detection import Mtcnn

    return Mtcnn(params)
