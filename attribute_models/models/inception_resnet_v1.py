"""Identity model `inception-resnet-v1`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from attribute_models.models import ATTRIBUTE_MODELS, FileParams

if TYPE_CHECKING:
    from attribute_models.identity.inception_resnet import InceptionResnet

NAME = "inception-resnet-v1"
ORIGIN = (
    "It is 20180402-114759-vggface2.pt or 20180408-102900-casia-webface.pt of the releases of github.com/timesler/facenet-pytorch "
    "(code MIT; trained on VGGFace2 or CASIA-WebFace, both for research only)"
)


@ATTRIBUTE_MODELS.register(
    NAME, family="identity", params=FileParams, licence="MIT; training data for research only (the user's file)",
    paper="Schroff, Kalenichenko & Philbin, FaceNet: a unified embedding for face recognition and clustering, CVPR 2015",
)
def inception_resnet_v1(params: FileParams) -> InceptionResnet:
    """512 numbers per face by facenet-pytorch's InceptionResnetV1; you bring the file."""
    from attribute_models.identity.inception_resnet import InceptionResnet
    from attribute_models.user_weights import user_weight

    return InceptionResnet(user_weight(NAME, params.file, "identity", ORIGIN), params.device)
