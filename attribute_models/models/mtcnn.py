"""Face detector `mtcnn`."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import Field

from attribute_models.models import ATTRIBUTE_MODELS, DeviceParams
from manifests.atomic import digest_file, digest_value
from manifests.errors import MissingError
from manifests.weights import Weight

if TYPE_CHECKING:
    from attribute_models.detection.boxes import Mtcnn


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


def mtcnn_weight() -> Weight:
    """The three networks inside the installed package facenet-pytorch, which is not imported for it.

    Raises:
        MissingError: the package is not installed, or has no such files.
    """
    found = importlib.util.find_spec("facenet_pytorch")
    folder = Path(str(found.origin)).parent / "data" if found is not None else Path()
    files = [folder / f"{name}net.pt" for name in "pro"]
    if found is None or not all(file.is_file() for file in files):
        raise MissingError("face detector 'mtcnn'", "needs facenet-pytorch with its networks, which are not installed",
                           "pip install --no-deps facenet-pytorch==2.5.3")
    return Weight("mtcnn", folder, digest_value({file.name: digest_file(file) for file in files}), "detection", "MIT")


@ATTRIBUTE_MODELS.register(
    "mtcnn", family="detection", params=MtcnnParams, licence="MIT", weight=mtcnn_weight,
    paper="Zhang et al., Joint face detection and alignment using multi-task cascaded convolutional networks, "
    "IEEE SPL 2016",
)
def mtcnn(params: MtcnnParams) -> Mtcnn:
    """Faces with boxes, scores and five points, by the three-stage MTCNN of facenet-pytorch."""
    from attribute_models.detection.boxes import Mtcnn

    return Mtcnn(params, mtcnn_weight())
